"""Waking a Celery worker, where there is Celery and a broker; the work itself is in the tables."""

from __future__ import annotations

import logging
from functools import partial
from importlib.util import find_spec

from django.db import transaction
from django.utils import timezone

from .models import SyncRun

logger = logging.getLogger("loyalty_wallet.queueing")


def has_broker() -> bool:
    """Say whether a worker can be woken: Celery is installed and its app names a broker."""
    if find_spec("celery") is None:
        return False
    from celery import current_app

    return bool(current_app.conf.broker_url)


def enqueue_run(run: SyncRun) -> None:
    """Have a worker carry out a queued run, once the transaction that made it is committed.

    Raises RuntimeError when there is no broker.
    """
    if not has_broker():
        raise RuntimeError(
            "Celery has no broker: set REDIS_URL, or run manage.py sync_wallet_passes."
        )
    transaction.on_commit(partial(_send, run.pk), robust=True)


def _send(run_id: int) -> None:
    from .tasks import drain_run

    try:
        drain_run.apply_async(args=(run_id,), retry=False)
    except Exception as error:
        logger.exception("The broker did not take run %s; its passes stay due.", run_id)
        now = timezone.now()
        SyncRun.objects.filter(pk=run_id, status=SyncRun.Status.QUEUED).update(
            status=SyncRun.Status.FAILED,
            started_at=now,
            finished_at=now,
            error=f"The broker did not take the run: {type(error).__name__}. Its passes stay due.",
        )
