"""Clocks that are wrong, commits that come late, and a database that is slow."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from loyalty_wallet.models import LoyaltyCard, SyncRun, WalletPass

from .conftest import BOTH
from .invariants import check_invariants
from .processes import HeldRequests, wait_for
from .world import PATIENT, World

HOUR = 3600
LEASE_SECONDS = 4
TIMEOUT_SECONDS = 2

pytestmark = pytest.mark.chaos


@contextmanager
def open_transaction(work: object) -> Iterator[None]:
    """Do `work` in a transaction of another connection, and commit it at the end of the block."""
    is_done, may_commit = threading.Event(), threading.Event()

    def run() -> None:
        try:
            with transaction.atomic():
                assert callable(work)
                work()
                is_done.set()
                may_commit.wait()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert is_done.wait(10)
        yield
    finally:
        may_commit.set()
        thread.join()


@BOTH
@pytest.mark.parametrize("is_announced", [True, False], ids=["record", "bulk SQL"])
def test_a_change_committed_after_the_look_is_found(world: World, is_announced: bool) -> None:
    """Case 39: stamped before a run and committed after it: the next run delivers it."""
    (card,) = world.seed(1)

    def change() -> None:
        if is_announced:
            LoyaltyCard.objects.get(pk=card.pk).record("earn", points=5)
        else:
            LoyaltyCard.objects.filter(pk=card.pk).update(
                points_balance=F("points_balance") + 5, updated_at=timezone.now()
            )

    with open_transaction(change):
        world.sync()
        assert world.google.object_requests == []
    world.owed = 1
    world.sync()

    assert len(world.google.object_requests) == 1
    check_invariants(world)


@pytest.mark.parametrize("shift", [HOUR, -HOUR], ids=["ahead", "behind"])
def test_a_wrong_clock_steals_no_lease(world: World, shift: int) -> None:
    """Case 51: leases are judged by the database's clock, lengths by one that never jumps."""
    world.seed(10)
    world.sell()
    held = HeldRequests(world.google, at_least=5)
    first = world.start(environment=PATIENT)
    held.wait()
    wrong = {"CHAOS_CLOCK_SHIFT_SECONDS": str(shift)}
    refused = world.start(environment=wrong)
    assert refused.wait() == 4, refused.log
    waiting = world.start("--wait", environment=wrong)
    held.release()
    assert first.wait() == 0, first.log
    assert waiting.wait() == 0, waiting.log

    assert len(world.google.object_requests) == 10
    world.sell()
    late = world.start(environment=wrong)
    assert late.wait() == 0, late.log
    assert late.report["cards"]["synced"] == 10
    lengths = [run.duration_seconds for run in SyncRun.objects.exclude(status="skipped")]
    assert all(length is not None and 0 <= length < HOUR / 2 for length in lengths)
    check_invariants(world)


@BOTH
def test_no_attempt_starts_while_leases_cannot_be_renewed(world: World) -> None:
    """Case 43: the heartbeat waits for a lock: no request begins that its lease would not outlive."""
    world.seed(40)
    world.sell()
    world.google.set_latency(0.3)
    options = {"CHAOS_WALLET_OPTIONS": '{"concurrency": 1, "timeout_seconds": 2}'}
    worker = world.start(environment=options, BATCH_SIZE=100, LEASE_SECONDS=LEASE_SECONDS)
    wait_for(lambda: len(world.google.object_requests) >= 3)
    with transaction.atomic():
        locked = WalletPass.objects.select_for_update().exclude(lease_token="")
        assert len(locked.values_list("pk")) >= 30
        stuck_since = time.monotonic()
        time.sleep(LEASE_SECONDS + TIMEOUT_SECONDS)
        freed_at = time.monotonic()
    world.google.set_latency(0)
    assert worker.wait() == 0, worker.log
    world.sync()

    arrivals = [request.arrived_at for request in world.google.object_requests]
    last_start = stuck_since + LEASE_SECONDS - TIMEOUT_SECONDS
    assert not [arrival for arrival in arrivals if last_start < arrival < freed_at]
    assert [arrival for arrival in arrivals if arrival > freed_at]
    check_invariants(world)
