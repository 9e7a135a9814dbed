"""Real schedulers that come in pairs, die and were away; a machine that is lost as a whole."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from loyalty_wallet.models import LoyaltyCard, SyncRun, SyncState
from tests.servers import RedisServer

from .invariants import check_invariants
from .processes import HeldRequests, wait_for
from .world import World

pytestmark = pytest.mark.chaos


def schedule() -> None:
    """Have the sync run every two seconds instead of every hour."""
    often, _ = IntervalSchedule.objects.get_or_create(every=2, period=IntervalSchedule.SECONDS)
    PeriodicTask.objects.create(name="sync", task="loyalty.sync_wallet_passes", interval=often)


def finished() -> int:
    return SyncRun.objects.exclude(finished_at=None).count()


def test_two_schedulers_push_nothing_twice(world: World) -> None:
    """Case 36: two beats send twice as many messages: one run goes at a time, each card goes once."""
    world.seed(5)
    world.sell()
    schedule()
    world.start_celery(2)
    beats = [world.start_beat() for _ in range(2)]
    wait_for(lambda: finished() >= 5)
    for beat in beats:
        beat.kill_group()
    wait_for(lambda: not SyncRun.objects.filter(finished_at=None).exists())

    assert set(SyncRun.objects.values_list("status", flat=True)) <= {"succeeded", "skipped"}
    assert len(world.google.object_requests) == 5
    check_invariants(world)


def test_a_scheduler_that_is_killed_and_was_away_misses_nothing(world: World) -> None:
    """Cases 37 and 38: its first run covers five hours, further ones send nothing again."""
    cards = world.seed(6)
    now = timezone.now()
    SyncState.objects.create(scope="discovery", scanned_until=now - timedelta(hours=5))
    for hours, card in enumerate(cards[:5]):
        # In bulk SQL, which nobody announces.
        LoyaltyCard.objects.filter(pk=card.pk).update(
            points_balance=5, updated_at=now - timedelta(hours=hours, minutes=30)
        )
    world.owed = 5
    schedule()
    world.start_celery()
    beat = world.start_beat()
    wait_for(lambda: finished() >= 1)
    beat.kill()
    before = finished()
    world.start_beat()
    wait_for(lambda: finished() >= before + 2)
    world.end()
    world.sync()

    assert len(world.google.object_requests) == 5
    assert {request.resource_id for request in world.google.object_requests} == {
        card.google_object_id for card in cards[:5]
    }
    world.perhaps_twice = 5 * SyncRun.objects.count()  # Found again in the window, and unchanged.
    check_invariants(world)


def test_a_machine_that_is_lost_costs_delay_only(world: World, redis_server: RedisServer) -> None:
    """Case 16: worker, beat and broker with its messages are gone; the next start resumes the run."""
    world.seed(20)
    world.sell()
    schedule()
    held = HeldRequests(world.google, at_least=5)
    patient = {"CHAOS_WALLET_OPTIONS": '{"timeout_seconds": 7}'}
    worker, beat = world.start_celery(environment=patient, LEASE_SECONDS=8), world.start_beat()
    held.wait()
    for process in (worker, beat):
        process.kill_group()
    redis_server.kill()
    held.release()
    run = SyncRun.objects.get(status="running")

    redis_server.start()
    world.start_celery()
    world.start_beat()
    wait_for(lambda: world.due() == 0)
    wait_for(lambda: SyncRun.objects.filter(pk=run.pk).exclude(finished_at=None).exists())
    world.end()
    wait_for(lambda: not SyncRun.objects.filter(finished_at=None).exists(), seconds=10)

    run.refresh_from_db()
    assert (run.status, run.resumes) == ("succeeded", 1)
    check_invariants(world)
