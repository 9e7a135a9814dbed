"""The alarms: what is measured, when it is too much, and when it is over.

An alarm is raised once and stays open until a later measurement is below its threshold; both are rows
of `SyncAlert`. Three are measured at the end of a run: `failure_rate`, `duration`, `failed_cards`. Two
must be noticed just when no run ends: `no_recent_success` and `oldest_due`. `check_alarms` measures
those; call it every minute or so, from as many processes as you like.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from django.db import router, transaction
from django.utils import timezone

from ...conf import get_conf
from ...models import SyncAlert, SyncRun, SyncState, WalletPass
from ..report import SyncReport
from ..selection import Selection
from .beat import read_schedule
from .channels import note_untold, tell, tell_again
from .notices import Alert

logger = logging.getLogger("loyalty_wallet.sync")

SCOPE = "alerts"
RUN_CODES = ("failure_rate", "duration", "failed_cards")
MOST_INTERVALS = 2
"""Intervals of the schedule that may pass without a success."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What one alarm watches, as it is now. Times are seconds."""

    code: str
    value: float
    threshold: float
    may_resolve: bool = True

    @property
    def is_above(self) -> bool:
        return self.value > self.threshold


def check_alarms() -> list[Alert]:
    """Measure what no run tells of, raise or resolve alarms by it, and return the open ones.

    Whoever could not be told of an alarm earlier, a mail server that was away, is told again.
    Cheap enough for every minute: a few indexed reads, and a write only where something changes.
    """
    _settle(standing_measures(), run=None)
    tell_again()
    return [Alert.of(row) for row in SyncAlert.objects.open().order_by("raised_at", "pk")]


def judge_run(run: SyncRun, report: SyncReport, *, is_limited: bool) -> None:
    """Raise or resolve alarms by a run that has ended. What goes wrong here is logged.

    Only runs over all cards count: everything due, or everything. A re-sync of three cards in the
    admin, a retry of what failed, a run that was narrowed to a program, a wallet or a `limit` says
    nothing of the shop, neither to raise an alarm nor to resolve one. A run that left cards behind,
    stopped by hand, by its time limit or by a refused key, may raise alarms, but resolves none.
    """
    try:
        measures = standing_measures()
        if Selection.from_json(run.selection).is_whole and not is_limited:
            may_resolve = not (report.cards["left"] or report.was_stopped_early)
            measures += [
                Measure(code=code, value=value, threshold=threshold, may_resolve=may_resolve)
                for code, value, threshold in report.measures
            ]
        _settle(measures, run=run)
    except Exception:
        logger.exception("The alarms after run %s could not be settled.", run.pk)


def standing_measures() -> list[Measure]:
    """Measure what is worth an alarm while no run goes at all."""
    conf = get_conf()
    now = timezone.now()
    return [
        Measure(
            code="no_recent_success",
            value=_age(last_success() or _beginning(), now),
            threshold=MOST_INTERVALS * read_schedule().expected_seconds(conf.run_interval),
        ),
        Measure(
            code="oldest_due",
            value=_age(oldest_due_at(conf.wallets), now),
            threshold=conf.alert_oldest_due_seconds,
        ),
    ]


def last_success() -> datetime | None:
    """Return when the last run over all cards ended that brought cards up to date, or had none to."""
    ended = (
        SyncRun.objects.filter(
            status__in=(SyncRun.Status.SUCCEEDED, SyncRun.Status.PARTIAL),
            finished_at__isnull=False,
        )
        # Their keys may be many, and are not worth reading.
        .exclude(selection__kind="cards")
        .order_by("-pk")
        .values_list("selection", "finished_at")
    )
    for selection, finished_at in ended.iterator(chunk_size=50):
        if Selection.from_json(selection).is_whole:
            return finished_at
    return None


def oldest_due_at(wallets: Iterable[str]) -> datetime | None:
    """Return since when the card of these wallets is wrong that has been wrong for longest.

    Passes that were set aside are left out: nobody is waiting for them to go through.
    """
    oldest: list[datetime | None] = []
    for alias in wallets:
        # One step into the index for each, however many are due.
        for priority in WalletPass.Priority.values:
            due = WalletPass.objects.due().filter(wallet=alias, priority=priority)
            oldest += due.order_by("due_at").values_list("due_at", flat=True)[:1]
    return min((due_at for due_at in oldest if due_at), default=None)


def _beginning() -> datetime | None:
    """Return since when there has been something to sync: before that, no run is missed."""
    return WalletPass.objects.order_by("pk").values_list("created_at", flat=True).first()


def _age(moment: datetime | None, now: datetime) -> float:
    return 0.0 if moment is None else max(0.0, (now - moment).total_seconds())


def _settle(measures: Sequence[Measure], *, run: SyncRun | None) -> None:
    open_alerts = {row.code: row for row in SyncAlert.objects.open()}
    changes = []
    for measure in measures:
        row = open_alerts.get(measure.code)
        if measure.is_above and row is not None:
            if row.value != measure.value:
                SyncAlert.objects.open().filter(pk=row.pk).update(value=measure.value)
        elif measure.is_above or (row is not None and measure.may_resolve):
            changes.append(measure)
    if changes:
        _write(changes, run)


def _write(changes: Sequence[Measure], run: SyncRun | None) -> None:
    """Open or close alarms, one process at a time, and tell of what this one has changed."""
    using = router.db_for_write(SyncAlert)
    now = timezone.now()
    with transaction.atomic(using=using):
        SyncState.objects.using(using).get_or_create(scope=SCOPE)
        SyncState.objects.using(using).select_for_update().get(scope=SCOPE)
        rows = {row.code: row for row in SyncAlert.objects.using(using).open()}
        for measure in changes:
            row = rows.get(measure.code)
            if measure.is_above == (row is not None):
                continue
            if row is None:
                row = SyncAlert(
                    code=measure.code,
                    value=measure.value,
                    threshold=measure.threshold,
                    run=run if measure.code in RUN_CODES else None,
                    raised_at=now,
                )
                alert = Alert.of(row)
            else:
                row.resolved_at = now
                alert = Alert.of(row, value=measure.value, threshold=measure.threshold)
            note_untold(row)
            row.save(using=using)
            transaction.on_commit(partial(tell, row, alert), using=using, robust=True)
