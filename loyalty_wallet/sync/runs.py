"""A run on record: opened once at a time, kept alive, closed honestly."""

from __future__ import annotations

import os
import socket
import time
from datetime import timedelta

from django.db import IntegrityError, router, transaction
from django.utils import timezone

from ..exceptions import RunActiveError
from ..models import DatabaseNow, SyncRun
from ..models.runs import FULL_RUN

SILENT_AFTER_SECONDS = 120
"""A running run without a heartbeat for this long has died."""


def worker_name() -> str:
    """Return who we are, for people: host and process."""
    return f"{socket.gethostname()}:{os.getpid()}"[:100]


class OpenRun:
    """A run that this process carries out."""

    def __init__(self, run: SyncRun, *, is_full: bool) -> None:
        """Begin the run. Raises RunActiveError when it is full and another full run is going."""
        self.run = run
        self._started = time.monotonic()
        run.started_at = timezone.now()
        run.status = SyncRun.Status.RUNNING
        if is_full:
            run.active_key = FULL_RUN
        using = router.db_for_write(SyncRun)
        try:
            with transaction.atomic(using=using):
                if is_full:
                    _bury_dead_runs()
                run.save(using=using)
                SyncRun.objects.filter(pk=run.pk).update(heartbeat_at=DatabaseNow())
        except IntegrityError as error:
            other = SyncRun.objects.filter(active_key=FULL_RUN).first()
            who = f"Run {other.pk}" if other else "Another run"
            raise RunActiveError(f"{who} is going.", run_id=other.pk if other else None) from error

    def close(self, status: SyncRun.Status, *, error: str, card_counts: dict[str, int]) -> None:
        """Write how it ended. The length is measured by a clock that never jumps."""
        run = self.run
        elapsed = timedelta(seconds=time.monotonic() - self._started)
        run.finished_at = (run.started_at or timezone.now()) + elapsed
        run.status = status
        run.active_key = None
        run.error = error
        run.card_counts = card_counts
        run.save(update_fields=["finished_at", "status", "active_key", "error", "card_counts"])


def _bury_dead_runs() -> None:
    silent_since = DatabaseNow() - timedelta(seconds=SILENT_AFTER_SECONDS)
    SyncRun.objects.filter(active_key=FULL_RUN, heartbeat_at__lt=silent_since).update(
        status=SyncRun.Status.INTERRUPTED,
        active_key=None,
        finished_at=DatabaseNow(),
        error="The process that carried out this run died.",
    )
