"""The Celery tasks. Messages carry ids only; a lost message costs delay, never a card.

`acks_late` alone does not survive a killed worker process; with `reject_on_worker_lost` the
message comes back, and the leases in the tables keep a second copy from doing harm.
"""

from __future__ import annotations

import logging
from typing import Any

from celery import Task, shared_task
from celery.exceptions import SoftTimeLimitExceeded

from .conf import get_conf
from .models import SyncRun
from .queueing import DRAIN_RUN, SYNC_CARD, wake_workers
from .sync import deliver_due_card, deliver_overdue, help_with_run, resume_dead_run
from .sync import sync_wallet_passes as sync
from .sync.alarms import check_alarms
from .sync.drift import audit_wallets, report_of
from .sync.retention import Retention, prune

logger = logging.getLogger("loyalty_wallet")

PATIENCE_SECONDS = 150
"""How long a message that came back waits for the lease of its dead worker, which ends in 120 s."""
RUN_SECONDS = 55 * 60
"""A run ends within the hour and within the broker's visibility timeout.

It ends by itself before that, and so does an audit: an exception from outside, such as Celery's
soft limit, becomes a database error where it meets a function of SQLite's.
"""
AUDIT_SECONDS = RUN_SECONDS - 60


@shared_task(
    name="loyalty.sync_wallet_passes",
    bind=True,
    acks_late=True,
    reject_on_worker_lost=True,
    soft_time_limit=RUN_SECONDS,
    time_limit=RUN_SECONDS + 60,
)
def sync_wallet_passes(self: Task[[], dict[str, Any]]) -> dict[str, Any]:
    """Bring everything that is due up to date, with all workers; return the report."""
    is_again = (self.request.delivery_info or {}).get("redelivered")
    return sync(
        trigger=SyncRun.Trigger.SCHEDULE,
        wait=PATIENCE_SECONDS if is_again else False,
        audits=get_conf().audit,
        on_open=lambda run: wake_workers(run, get_conf().workers - 1),
        stop_on=SoftTimeLimitExceeded,
    ).as_dict()


@shared_task(
    name=DRAIN_RUN,
    ignore_result=True,
    acks_late=True,
    reject_on_worker_lost=True,
    soft_time_limit=RUN_SECONDS,
    time_limit=RUN_SECONDS + 60,
)
def drain_run(run_id: int) -> None:
    """Carry out a queued run, or help with one that is going; one that has ended is left alone."""
    run = SyncRun.objects.filter(pk=run_id).first()
    if run is None:
        return
    if run.status == SyncRun.Status.QUEUED:
        sync(run=run, stop_on=SoftTimeLimitExceeded)
    elif run.status == SyncRun.Status.RUNNING:
        help_with_run(run, stop_on=SoftTimeLimitExceeded)


@shared_task(
    name=SYNC_CARD,
    ignore_result=True,
    acks_late=True,
    reject_on_worker_lost=True,
    soft_time_limit=120,
    time_limit=180,
)
def sync_card(card_key: str) -> None:
    """Deliver one card right after its change; nothing happens if that has been done already."""
    deliver_due_card(card_key)


@shared_task(
    name="loyalty.resume_wallet_sync",
    ignore_result=True,
    soft_time_limit=RUN_SECONDS,
    time_limit=RUN_SECONDS + 60,
)
def resume_wallet_sync() -> None:
    """Check the alarms, and go on where a process died or a push was lost; for every minute.

    It mostly does nothing: a few reads.
    """
    try:
        check_alarms()
    except Exception:
        logger.exception("The alarms could not be checked.")
    if resume_dead_run(stop_on=SoftTimeLimitExceeded) is None:
        deliver_overdue(stop_on=SoftTimeLimitExceeded)


@shared_task(
    name="loyalty.audit_wallets",
    soft_time_limit=RUN_SECONDS,
    time_limit=RUN_SECONDS + 60,
)
def audit_wallets_task(*, fix: bool = False) -> list[dict[str, Any]]:
    """Compare what the providers have with what was delivered; meant for once a week.

    With `fix` in the arguments of its beat entry, what is missing or different becomes due.
    """
    audits = audit_wallets(fix=fix, stop_on=SoftTimeLimitExceeded, max_seconds=AUDIT_SECONDS)
    return [report_of(audit) for audit in audits]


@shared_task(name="loyalty.prune_sync_runs", ignore_result=True)
def prune_sync_runs() -> None:
    """Remove old history; meant for once a day."""
    prune(Retention())
