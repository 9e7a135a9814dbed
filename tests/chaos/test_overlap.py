"""Runs, real-time pushes, operators and schedulers at the same time."""

from __future__ import annotations

import pytest

from loyalty_wallet.models import SyncBatch, SyncRun

from .invariants import check_invariants
from .processes import HeldRequests, Worker, wait_for
from .world import PATIENT, World

pytestmark = pytest.mark.chaos


def finish(worker: Worker, held: HeldRequests) -> None:
    held.release()
    assert worker.wait() == 0, worker.log


def test_real_time_pushes_during_a_run(world: World) -> None:
    """Case 10: cards that change while the run delivers them are pushed by one worker at a time."""
    cards = world.seed(20)
    world.sell()
    world.google.set_latency(0.3)
    world.start_celery(2)
    for _ in range(2):
        for card in cards:
            world.send_task("loyalty.sync_card", card.key)
    run = world.start("--wait")
    wait_for(lambda: len(world.google.object_requests) >= 10)
    world.sell()
    for card in cards:
        world.send_task("loyalty.sync_card", card.key)
    assert run.wait() == 0, run.log
    world.google.set_latency(0)
    wait_for(lambda: world.due() == 0)

    objects = {card.google_object_id: card for card in cards}
    assert world.google.max_in_flight_per_object == 1
    for object_id in objects:
        assert 1 <= len(world.google.requests_for(object_id)) <= 2


def test_a_second_run_is_skipped_refused_or_waits(world: World) -> None:
    """Cases 11 and 12: the task skips, the command exits 4, and with --wait it runs afterwards."""
    world.seed(10)
    world.sell()
    held = HeldRequests(world.google, at_least=5)
    world.start_celery()
    first = world.start(environment=PATIENT)
    held.wait()

    refused = world.start()
    waiting = world.start("--wait")
    world.send_task("loyalty.sync_wallet_passes")
    assert refused.wait() == 4
    assert "is going" in refused.log
    skipped = wait_for(
        lambda: SyncRun.objects.filter(trigger="schedule").exclude(finished_at=None).first()
    )
    assert skipped.status == "skipped"
    assert waiting.is_running
    assert held.count <= 10
    assert SyncRun.objects.filter(status="running").count() == 1

    finish(first, held)
    assert waiting.wait() == 0, waiting.log
    ids = first.report["run_id"], waiting.report["run_id"]
    earlier, later = (SyncRun.objects.get(pk=run_id) for run_id in ids)
    assert earlier.finished_at is not None
    assert later.started_at is not None
    assert later.started_at >= earlier.finished_at
    assert len(world.google.object_requests) == 10
    check_invariants(world)


def test_a_re_sync_of_three_cards_during_a_run(world: World) -> None:
    """Case 13: it joins the run: the three are sent once more, by the worker that holds them."""
    cards = world.seed(5)
    world.sell()
    held = HeldRequests(world.google, at_least=5)
    first = world.start(environment=PATIENT)
    held.wait()

    again = [card.key for card in cards[:3]]
    re_sync = world.start("--card", *again, "--force")
    assert re_sync.wait() == 0, re_sync.log
    finish(first, held)

    for card in cards:
        expected = 2 if card.key in again else 1
        assert len(world.google.requests_for(card.google_object_id)) == expected
    world.perhaps_twice += 3
    check_invariants(world)


def test_two_schedulers_make_one_run(world: World) -> None:
    """Case 36: two beats fire at once: one run does the work, the other is on record as skipped."""
    world.seed(5)
    world.sell()
    held = HeldRequests(world.google, at_least=5)
    for _ in range(2):
        world.send_task("loyalty.sync_wallet_passes")
    world.start_celery(2, environment=PATIENT)
    held.wait()
    wait_for(lambda: SyncRun.objects.filter(status="skipped").exists())
    held.release()
    wait_for(lambda: SyncRun.objects.filter(status="succeeded").exists())

    assert SyncRun.objects.count() == 2
    assert len(world.google.object_requests) == 5
    check_invariants(world)


def test_three_workers_share_one_run(world: World) -> None:
    """WORKERS = 3: the scheduled run wakes two helpers, and the totals are those of one run."""
    world.seed(90)
    world.sell()
    world.google.set_latency(0.5)
    options = {"CHAOS_WALLET_OPTIONS": '{"concurrency": 2}'}
    world.start_celery(3, environment=options, WORKERS=3, BATCH_SIZE=4)
    world.send_task("loyalty.sync_wallet_passes")
    run = wait_for(lambda: SyncRun.objects.filter(status="succeeded").first())

    assert SyncRun.objects.count() == 1
    assert run.card_counts["synced"] == 90
    assert SyncBatch.objects.filter(run=run).values("worker").distinct().count() == 3
    check_invariants(world)
