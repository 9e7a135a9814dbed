"""Runs that have ended in some way, and the alarms that are open after them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from threading import Barrier, Thread
from typing import Any

from django.db import connection
from django.utils import timezone

from loyalty_wallet.models import SyncAlert, SyncRun
from loyalty_wallet.sync import Selection, SyncReport
from loyalty_wallet.sync.alarms.alerts import judge_run


def ended(
    *, selected: int = 100, failed: int = 0, left: int = 0, seconds: float = 1, **fields: Any
) -> SyncRun:
    """Put a run on record that has ended so."""
    now = timezone.now()
    fields = {"selection": Selection().as_json(), "status": "partial", **fields}
    counts = {"synced": selected - failed - left, "unchanged": 0, "deferred": 0}
    return SyncRun.objects.create(
        started_at=now - timedelta(seconds=seconds),
        finished_at=now,
        card_counts={"selected": selected, "failed": failed, "left": left, **counts},
        **fields,
    )


def judge(run: SyncRun, *, is_limited: bool = False) -> list[str]:
    """Judge the run; return the codes of the alarms that are open then."""
    judge_run(run, SyncReport.of_run(run), is_limited=is_limited)
    return open_codes()


def open_codes() -> list[str]:
    return sorted(SyncAlert.objects.open().values_list("code", flat=True))


def move_end(run: SyncRun, back: timedelta) -> None:
    run.finished_at = (run.finished_at or timezone.now()) - back
    run.save()


def at_once(work: Callable[[], object], *, threads: int = 4) -> None:
    """Do it in so many threads at the same moment, as so many processes might."""
    start = Barrier(threads)

    def run() -> None:
        start.wait()
        work()
        connection.close()

    workers = [Thread(target=run) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
