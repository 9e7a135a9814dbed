"""The one way in for runs: every door of the package syncs through these functions."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from django.db import router, transaction
from django.utils import timezone

from ..exceptions import RunActiveError
from ..models import SyncRun
from ..redaction import redact
from .alarms.alerts import judge_run
from .audit import audit
from .discovery import discover, touch_expired
from .erasure import finish_erasures
from .failpoints import failpoint
from .orders import Orders, Progress
from .phones.reminders import remind
from .pump.engine import Engine
from .report import SyncReport, count_cards
from .runs import OpenRun, worker_name
from .selection import Kind, Selection
from .telling import tell_of_end, tell_of_start

logger = logging.getLogger("loyalty_wallet.sync")

WAIT_SECONDS = 1


def sync_wallet_passes(  # noqa: PLR0913
    *,
    trigger: str = SyncRun.Trigger.API,
    selection: Selection | Mapping[str, Any] | None = None,
    limit: int | None = None,
    force: bool = False,
    notify: bool = False,
    max_seconds: float | None = None,
    max_attempts: int | None = None,
    wait: bool | float = False,
    requested_by: Any = None,
    retry_of: SyncRun | None = None,
    run: SyncRun | None = None,
    audits: bool = False,
    stop_on: type[BaseException] = KeyboardInterrupt,
    stop: threading.Event | None = None,
    on_open: Callable[[SyncRun], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> SyncReport:
    """Bring the selected passes up to date and put the run on record.

    Without a selection: everything that is due, after a look for changes that nobody announced.
    `limit` caps the passes, `max_seconds` the time in which new cards are begun, `max_attempts`
    the attempts of a card. `force` sends what is unchanged, `notify` lets Google tell customers.
    `run` is a queued run to carry out: its own selection, trigger and options hold. `on_open` is
    called with the run when everything to do is marked. The first KeyboardInterrupt or `stop_on`, or `stop` once it is set, ends the
    run in order, a second one at once. With `audits` the run also compares the next part of all
    passes.

    Only one full run goes at a time: a second one waits when told to `wait`, for at most so many
    seconds if it is a number, and is otherwise put on record as `skipped`. Never raises for a
    provider's fault. Raises SelectionError when the selection names what does not exist, and
    SyncInTransactionError within a transaction: what is not committed must not be sent.
    """
    if run is None:
        if not isinstance(selection, Selection):
            selection = Selection.from_json(selection or {})
        run = SyncRun(
            trigger=trigger,
            requested_by=requested_by,
            selection=selection.checked().as_json(),
            options=_options(force=force, notify=notify),
            retry_of=retry_of,
        )
    else:
        selection = Selection.from_json(run.selection)
    orders = Orders(
        # A queued run has marked its passes as forced when it was queued: once is enough.
        force=force,
        audits=audits,
        notify=run.notifies,
        limit=limit,
        max_seconds=max_seconds,
        max_attempts=max_attempts,
        stop_on=stop_on,
        stop=stop,
    )
    # Before the run is opened: misspelt settings must not leave one behind.
    wallets = selection.wallets
    patient_until = time.monotonic() + (math.inf if wait is True else wait)
    while True:
        try:
            opened = OpenRun.begin(run, is_full=selection.is_full)
        except RunActiveError as error:
            if time.monotonic() >= patient_until or orders.is_told_to_stop:
                return _skipped(run, error)
            time.sleep(WAIT_SECONDS)
        else:
            break
    engine = Engine(
        wallets,
        selection.scopes,
        orders=orders,
        run=opened.run,
        worker=worker_name(),
        beat=opened.beat,
        waits_for_others=selection.is_full,
        on_progress=on_progress,
    )
    return _carry_out(opened, selection, engine, orders, on_open)


def queue_wallet_sync(  # noqa: PLR0913
    selection: Selection,
    *,
    trigger: str,
    force: bool = False,
    notify: bool = False,
    requested_by: Any = None,
    retry_of: SyncRun | None = None,
) -> SyncRun:
    """Put a run on record for a worker to carry out, and mark its passes due at once.

    Whatever becomes of the message to the worker, the next run finds the passes. Raises
    SelectionError when the selection names what does not exist.
    """
    with transaction.atomic(using=router.db_for_write(SyncRun)):
        selection.checked().mark_due(is_forced=force)
        return SyncRun.objects.create(
            trigger=trigger,
            selection=selection.as_json(),
            options=_options(force=force, notify=notify),
            requested_by=requested_by,
            retry_of=retry_of,
        )


def _carry_out(
    opened: OpenRun,
    selection: Selection,
    engine: Engine,
    orders: Orders,
    on_open: Callable[[SyncRun], None] | None,
) -> SyncReport:
    run = opened.run
    tell_of_start(run)
    error = ""
    try:
        if selection.kind is Kind.DUE:
            error = _discover(audits=orders.audits)
        selection.mark_due(is_forced=orders.force)
        if on_open is not None:
            on_open(run)
        engine.drain()
    except BaseException as exception:
        _close_broken(opened, exception)
        raise
    cards = count_cards(run, left=engine.count_left())
    cancelled = "Cancelled." if engine.is_cancelled else ""
    error = "\n".join(filter(None, (error, cancelled, engine.stop_reasons)))
    failpoint("closing_run")
    is_closed = opened.close(engine.status_after(cards), error=error, card_counts=cards)
    report = SyncReport.of_run(
        run, was_stopped_early=engine.is_stopped, untried_wallets=engine.untried_wallets
    )
    logger.info(
        "run=%s status=%s selected=%d synced=%d unchanged=%d failed=%d deferred=%d left=%d seconds=%.1f",
        run.pk,
        report.status,
        *cards.values(),
        report.duration_seconds or 0,
    )
    if is_closed:
        tell_of_end(run, report)
        judge_run(run, report, is_limited=orders.limit is not None)
    return report


def _options(*, force: bool, notify: bool) -> dict[str, bool]:
    return {"force": force, "notify": notify}


def _discover(*, audits: bool) -> str:
    try:
        # First what asks the card source for nothing, and so works without it.
        touch_expired()
        remind()
        finish_erasures()
        discover()
        if audits:
            audit()
    except Exception as error:
        # What is known to be due must not wait for a card source that is out of order.
        logger.exception("The card source could not say what has changed.")
        return redact(f"Discovery failed: {type(error).__name__}: {error}")
    return ""


def _skipped(run: SyncRun, error: RunActiveError) -> SyncReport:
    now = timezone.now()
    run.active_key = None
    run.status = SyncRun.Status.SKIPPED
    run.started_at = run.finished_at = now
    run.error = str(error)
    run.save()
    return SyncReport.of_run(run)


def _close_broken(opened: OpenRun, exception: BaseException) -> None:
    is_interrupt = not isinstance(exception, Exception)
    status = SyncRun.Status.INTERRUPTED if is_interrupt else SyncRun.Status.FAILED
    error = "Interrupted." if is_interrupt else f"{type(exception).__name__}: {exception}"
    try:
        if opened.close(status, error=redact(error), card_counts=count_cards(opened.run)):
            tell_of_end(opened.run, SyncReport.of_run(opened.run))
    except Exception:
        logger.exception("The run %s could not be closed.", opened.run.pk)
