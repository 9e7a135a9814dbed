"""The one way in for single cards: delivered at once, without a run on record."""

from __future__ import annotations

import time

from django.utils import timezone

from ..models import SyncRun
from .orders import Orders
from .pump.engine import Engine
from .pump.threads import shared_thread
from .report import CardFailure, SyncReport, count_jobs, wallet_counts
from .runs import worker_name
from .selection import Selection


def sync_card_to_wallets(
    card_key: str,
    *,
    wallet: str | None = None,
    notify: bool = False,
    max_attempts: int | None = None,
) -> SyncReport:
    """Bring one card up to date at once in each of its wallets, without a run on record.

    `max_attempts` caps the attempts where somebody waits for the outcome.

    A pass that another worker holds is left to it: it sees the change and delivers it. What
    fails stays due for the next run. Never raises for a provider's fault. Raises SelectionError
    for a wallet that is not configured, and SyncInTransactionError within a transaction.
    """
    selection = Selection.of_cards([card_key]).narrowed(wallet=wallet or "").checked()
    selection.mark_due()
    orders = Orders(notify=notify, max_attempts=max_attempts, goes_first=True)
    return _deliver_now(selection, orders)


def deliver_due_card(card_key: str) -> SyncReport:
    """Deliver what of one card is due: a burst of changes costs one delivery, the last one."""
    return _deliver_now(Selection.of_cards([card_key]), Orders(goes_first=True))


def _deliver_now(selection: Selection, orders: Orders) -> SyncReport:
    started_at = timezone.now()
    started = time.monotonic()
    engine = Engine(
        selection.wallets,
        selection.scopes,
        orders=orders,
        run=None,
        worker=worker_name(),
        thread=shared_thread(),
    )
    engine.drain()
    failures = [CardFailure.of_job(alias, job) for alias, job in engine.unsuccessful]
    cards = count_jobs((job for _, job in engine.kept), left=engine.count_left())
    return SyncReport(
        run_id=None,
        status=str(engine.status_after(cards)),
        trigger=str(SyncRun.Trigger.API),
        started_at=started_at,
        finished_at=timezone.now(),
        duration_seconds=time.monotonic() - started,
        cards=cards,
        wallets=wallet_counts({share.wallet.alias: share.counts for share in engine.shares}),
        failed_card_ids=tuple(dict.fromkeys(failure.card_id for failure in failures)),
        failures=tuple(failures),
        error=engine.stop_reasons,
        untried_wallets=engine.untried_wallets,
    )
