"""Many cards and many workers, small enough for a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from loyalty_wallet.models import SyncBatch, SyncRun

from .invariants import busiest_second, check_invariants
from .processes import wait_for
from .world import REQUESTS_PER_SECOND, World

CARDS = 400
WORKERS = 4
MOST_MEGABYTES = 200

pytestmark = pytest.mark.chaos


def test_four_workers_and_many_cards(world: World) -> None:
    """Case 67, scaled: the rate is kept and used, memory stays flat, the totals are right."""
    world.seed(CARDS)
    world.sell()
    worker = world.start_celery(WORKERS, WORKERS=WORKERS)
    world.send_task("loyalty.sync_wallet_passes")
    run = wait_for(lambda: SyncRun.objects.filter(status="succeeded").first())

    for child in worker.children:
        assert peak_megabytes(child) < MOST_MEGABYTES
    assert SyncRun.objects.count() == 1
    assert run.card_counts["synced"] == CARDS
    assert SyncBatch.objects.values("worker").distinct().count() == WORKERS
    assert busiest_second(world.google) >= REQUESTS_PER_SECOND / 2
    check_invariants(world)


def peak_megabytes(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("The process is gone.")
