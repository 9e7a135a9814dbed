"""The Celery tasks. Messages carry ids only; a lost message costs delay, never a card."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from .models import SyncRun
from .sync import sync_wallet_passes as sync

# `acks_late` alone does not survive a killed worker process; with `reject_on_worker_lost` the
# message comes back, and the leases in the tables keep a second copy from doing harm.


@shared_task(name="loyalty.sync_wallet_passes", acks_late=True, reject_on_worker_lost=True)
def sync_wallet_passes() -> dict[str, Any]:
    """Bring everything that is due up to date; return the report."""
    return sync(trigger=SyncRun.Trigger.SCHEDULE).as_dict()


@shared_task(
    name="loyalty.drain_run", ignore_result=True, acks_late=True, reject_on_worker_lost=True
)
def drain_run(run_id: int) -> None:
    """Carry out a queued run; one that has begun or ended already is left alone."""
    run = SyncRun.objects.filter(pk=run_id, status=SyncRun.Status.QUEUED).first()
    if run is not None:
        sync(run=run)
