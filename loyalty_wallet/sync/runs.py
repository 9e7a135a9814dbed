"""A run on record: one full run at a time, kept alive, resumed when its process died."""

from __future__ import annotations

import os
import socket
import time
from datetime import timedelta

from django.db import models, router, transaction
from django.db.models import F, Q
from django.utils import timezone

from ..exceptions import RunActiveError
from ..models import DatabaseNow, SyncRun, SyncState
from ..models.runs import FULL_RUN
from .transactions import committed_at_its_end

LEASE_SCOPE = "run"
LEASE_SECONDS = 120
_OPENED = ("status", "active_key", "started_at", "resumes", "options")
MOST_RESUMES = 5
QUEUED_FOR = timedelta(hours=1)
"""After which a queued run is taken to be lost, as its broker may have been."""


def worker_name() -> str:
    """Return who we are, for people: host and process."""
    return f"{socket.gethostname()}:{os.getpid()}"[:100]


class RunLease:
    """The right to carry out the full run: a row with a holder, a token and an end.

    Judged by the database's clock. A holder that does not renew is taken to be dead after
    `LEASE_SECONDS`, and its token is worth nothing once somebody else has taken the lease.
    """

    def __init__(self, token: int, holder: str) -> None:
        self._ours = Q(scope=LEASE_SCOPE, holder=holder, token=token)

    @classmethod
    def acquire(cls, holder: str) -> RunLease | None:
        """Take the lease if it is free or its holder is dead.

        Raises SyncInTransactionError within the caller's: nobody else could see the lease.
        """
        free = Q(holder="") | Q(expires_at__lt=DatabaseNow())
        with committed_at_its_end(router.db_for_write(SyncState)):
            SyncState.objects.get_or_create(scope=LEASE_SCOPE)
            taken = SyncState.objects.filter(free, scope=LEASE_SCOPE).update(
                holder=holder, token=F("token") + 1, expires_at=_lease_end()
            )
            if not taken:
                return None
            row = SyncState.objects.get(scope=LEASE_SCOPE)
        return cls(row.token, row.holder)

    def renew(self) -> bool:
        """Extend the lease; return False when it is lost."""
        return bool(SyncState.objects.filter(self._ours).update(expires_at=_lease_end()))

    def release(self) -> None:
        SyncState.objects.filter(self._ours).update(holder="", expires_at=None)


class OpenRun:
    """A run that this process carries out."""

    def __init__(self, run: SyncRun, lease: RunLease | None) -> None:
        self.run = run
        self._lease = lease
        self._started = time.monotonic()
        self._elapsed_before = timedelta(0)
        if run.started_at is None:
            run.started_at = timezone.now()
        else:
            self._elapsed_before = max(timedelta(0), timezone.now() - run.started_at)
        run.status = SyncRun.Status.RUNNING

    @classmethod
    def begin(cls, run: SyncRun, *, is_full: bool) -> OpenRun:
        """Begin `run`, or resume the run of the same selection whose process died.

        Raises RunActiveError when it is full and another full run is going.
        """
        using = router.db_for_write(SyncRun)
        if not is_full:
            opened = cls(run, None)
            opened._write()
            return opened
        lease = RunLease.acquire(f"{worker_name()} {time.monotonic_ns()}")
        if lease is None:
            active = SyncRun.objects.filter(active_key=FULL_RUN).first()
            raise RunActiveError(
                f"Run {active.pk} is going." if active else "Another run is going.",
                run_id=active.pk if active else None,
            )
        with transaction.atomic(using=using):
            close_abandoned()
            opened = cls(_resumable(run) or run, lease)
            opened.run.active_key = FULL_RUN
            opened._write()
        return opened

    def beat(self) -> bool:
        """Show that the run lives; return False when it has been taken over."""
        SyncRun.objects.filter(pk=self.run.pk).update(heartbeat_at=DatabaseNow())
        return self._lease is None or self._lease.renew()

    def close(self, status: SyncRun.Status, *, error: str, card_counts: dict[str, int]) -> bool:
        """Write how it ended; return False when it has been taken over and is another's to close.

        The length is measured by a clock that never jumps.
        """
        run = self.run
        if self._lease is not None and not self._lease.renew():
            # Taken over meanwhile: the run belongs to who took it, and stays as it is.
            run.refresh_from_db()
            return False
        elapsed = self._elapsed_before + timedelta(seconds=time.monotonic() - self._started)
        run.finished_at = (run.started_at or timezone.now()) + elapsed
        run.status = status
        run.active_key = None
        run.error = error
        run.card_counts = card_counts
        run.save(update_fields=["finished_at", "status", "active_key", "error", "card_counts"])
        if self._lease is not None:
            self._lease.release()
        return True

    def _write(self) -> None:
        # A queued run may have been told to stop since it was read: that is not ours to write.
        self.run.save(update_fields=_OPENED if self.run.pk else None)
        SyncRun.objects.filter(pk=self.run.pk).update(heartbeat_at=DatabaseNow())


def is_full_run_going() -> bool:
    """Say whether somebody holds the run lease."""
    return SyncState.objects.filter(scope=LEASE_SCOPE, expires_at__gte=DatabaseNow()).exists()


def find_dead_run() -> SyncRun | None:
    """Return the full run that is on record as running though its lease has ended."""
    return None if is_full_run_going() else SyncRun.objects.filter(active_key=FULL_RUN).first()


def silent_runs() -> models.QuerySet[SyncRun]:
    """Return the runs of selected cards whose process is dead: they have no lease, but a heartbeat."""
    silent_since = DatabaseNow() - timedelta(seconds=LEASE_SECONDS)
    return SyncRun.objects.filter(
        active_key=None, status=SyncRun.Status.RUNNING, heartbeat_at__lt=silent_since
    )


def close_abandoned() -> None:
    """Close runs of selected cards whose process died, and runs that no worker took.

    Their passes are due: a full run delivers them.
    """
    now = timezone.now()
    silent_runs().update(
        status=SyncRun.Status.INTERRUPTED,
        finished_at=now,
        error="The process that carried out this run died. What it left is due still.",
    )
    queued = SyncRun.objects.filter(status=SyncRun.Status.QUEUED)
    queued.filter(created_at__lt=now - QUEUED_FOR).update(
        status=SyncRun.Status.INTERRUPTED,
        finished_at=now,
        error="No worker took this run. Its passes are due still.",
    )


def _resumable(run: SyncRun) -> SyncRun | None:
    """Return the dead run that `run` would repeat; one that differs, or died too often, is closed."""
    dead = SyncRun.objects.filter(active_key=FULL_RUN).first()
    if dead is None:
        return None
    is_same = dead.selection == run.selection and dead.notifies == run.notifies
    if run.pk is None and is_same and dead.resumes < MOST_RESUMES:
        dead.resumes += 1
        dead.options = run.options
        return dead
    died_too_often = dead.resumes >= MOST_RESUMES
    dead.status = SyncRun.Status.FAILED if died_too_often else SyncRun.Status.INTERRUPTED
    dead.active_key = None
    dead.finished_at = timezone.now()
    dead.error = f"The process that carried out this run died, after {dead.resumes} resumes."
    dead.save(update_fields=["status", "active_key", "finished_at", "error"])
    return None


def _lease_end() -> object:
    return DatabaseNow() + timedelta(seconds=LEASE_SECONDS)
