"""Workers that end in the middle: politely, by force, by their own cards, by their time limit."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from loyalty_wallet.models import LoyaltyCard, SyncFailure, SyncRun, WalletPass

from .invariants import check_invariants
from .poison import POISON
from .processes import HeldRequests, wait_for
from .world import PATIENT, World

MOST_DEATHS = 8

pytestmark = pytest.mark.chaos


def test_a_polite_stop_finishes_and_records_what_was_begun(world: World) -> None:
    """Case 14: SIGTERM: no new card is begun, no request is lost, exit 5; the next run goes on."""
    world.seed(40)
    world.sell()
    held = HeldRequests(world.google, at_least=5)
    options = {"CHAOS_WALLET_OPTIONS": '{"timeout_seconds": 30, "concurrency": 5}'}
    worker = world.start(environment=PATIENT | options)
    held.wait()
    worker.send(signal.SIGTERM)
    wait_for(lambda: "what was begun is finished" in worker.log)
    held.release()

    assert worker.wait() == 5, worker.log
    sent = len(world.google.object_requests)
    assert 5 <= sent < 40
    assert world.due() == 40 - sent
    assert not WalletPass.objects.exclude(lease_token="").exists()
    run = SyncRun.objects.get()
    assert (run.status, run.card_counts["left"]) == ("partial", 40 - sent)

    world.sync()
    assert len(world.google.object_requests) == 40
    check_invariants(world)


def test_a_second_interrupt_ends_at_once_and_loses_nothing(world: World) -> None:
    """Two Ctrl-C: the worker does not wait for answers; what was under way stays due."""
    world.seed(10)
    world.sell()
    held = HeldRequests(world.google, at_least=5)
    # The next run has to wait for the lease on what was under way.
    patient = {"CHAOS_WALLET_OPTIONS": '{"timeout_seconds": 7}'}
    worker = world.start(environment=patient, LEASE_SECONDS=8)
    held.wait()
    worker.send(signal.SIGINT)
    wait_for(lambda: "what was begun is finished" in worker.log)
    worker.send(signal.SIGINT)
    assert worker.wait() != 0
    held.release()

    assert SyncRun.objects.get().status == "interrupted"
    assert world.due() >= 5
    world.sync()
    check_invariants(world)


def test_a_worker_killed_in_mid_batch_is_resumed(world: World) -> None:
    """Case 15: kill -9 after some batches are committed: the same run goes on, its totals right."""
    world.seed(60)
    world.sell()
    world.google.set_latency(0.2)
    options = {"CHAOS_WALLET_OPTIONS": '{"concurrency": 4}'}
    worker = world.start(environment=options)
    wait_for(lambda: 60 - world.due() >= 5)
    worker.kill()
    assert 0 < world.due() < 60
    world.google.set_latency(0)
    world.sync()

    run = SyncRun.objects.get()
    assert (run.status, run.resumes, run.card_counts["synced"]) == ("succeeded", 1, 60)
    check_invariants(world)


def test_a_celery_worker_that_is_told_to_stop_ends_its_run(world: World) -> None:
    """Case 14 in a deployment: the worker finishes its task before it goes."""
    world.seed(20)
    world.sell()
    held = HeldRequests(world.google, at_least=5)
    world.send_task("loyalty.sync_wallet_passes")
    worker = world.start_celery(environment=PATIENT)
    held.wait()
    worker.send(signal.SIGTERM)
    held.release()

    assert worker.wait() == 0
    world.sync()
    run = SyncRun.objects.get(trigger="schedule")
    assert run.status == "succeeded"
    check_invariants(world)


def test_a_card_that_kills_its_worker_is_set_aside(world: World) -> None:
    """Case 44: after some deaths it is tried alone, then not any more; all others are right."""
    cards = world.seed(6)
    world.sell()
    LoyaltyCard.objects.filter(pk=cards[2].pk).update(holder_name=POISON)
    source: dict[str, Any] = {"CARD_SOURCE": "tests.chaos.poison.PoisonSource"}
    deaths = 0
    while (code := world.start("--wait", **source).wait()) == 9:
        deaths += 1
        assert deaths < MOST_DEATHS
    assert code == 1

    poisoned = WalletPass.objects.get(card_key=cards[2].key)
    assert (poisoned.state, poisoned.last_code) == ("set_aside", "bug")
    assert SyncFailure.objects.get().wallet_pass_id == poisoned.pk
    assert deaths == 4
    check_invariants(world)
    assert world.start("--wait", **source).wait() == 0


def test_a_run_that_reaches_its_time_limit_is_closed_honestly(world: World) -> None:
    """Case 45: the soft limit ends the run as `partial`; what is left stays due for the next."""
    world.seed(60)
    world.sell()
    world.google.set_latency(1)
    options = {"CHAOS_WALLET_OPTIONS": '{"concurrency": 4}'}
    world.send_task("loyalty.sync_wallet_passes", soft_time_limit=3, time_limit=60)
    world.start_celery(environment=options)
    run = wait_for(lambda: SyncRun.objects.exclude(finished_at=None).first())

    assert run.status == "partial"
    assert run.card_counts["left"] == world.due() > 0
    assert run.card_counts["synced"] == 60 - world.due()
    world.google.set_latency(0)
    world.sync()
    check_invariants(world)
