"""Sends the signals of runs and failed cards: after the commit, whatever becomes of receivers."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from django.db import router, transaction

from .. import signals
from ..models import SyncRun, WalletPass
from .pump.jobs import Job, JobOutcome
from .report import CardFailure, SyncReport


def tell_of_start(run: SyncRun) -> None:
    send = partial(signals.run_started.send_robust, sender=SyncRun, run=run)
    transaction.on_commit(send, using=router.db_for_write(SyncRun), robust=True)


def tell_of_end(run: SyncRun, report: SyncReport) -> None:
    send = partial(signals.run_finished.send_robust, sender=SyncRun, run=run, report=report)
    transaction.on_commit(send, using=router.db_for_write(SyncRun), robust=True)


def tell_of_failures(alias: str, jobs: Iterable[Job], run: SyncRun | None) -> None:
    """Send `card_failed` for each of these jobs whose failure is on record."""
    if not signals.card_failed.has_listeners(WalletPass):
        return
    for job in jobs:
        if job.outcome is JobOutcome.FAILED and job.is_recorded:
            send = partial(
                signals.card_failed.send_robust,
                sender=WalletPass,
                failure=CardFailure.of_job(alias, job),
                run_id=None if run is None else run.pk,
            )
            transaction.on_commit(send, using=router.db_for_write(WalletPass), robust=True)
