"""The guards are what keeps phones right: without them the very same events do harm."""

from __future__ import annotations

import signal
from datetime import timedelta

import pytest
from django.utils import timezone

from loyalty_wallet.models import DatabaseNow, WalletLimit, WalletPass

from .invariants import applied_balances, check_invariants, count_overlaps
from .processes import Failpoint, HeldRequests, wait_for
from .world import PATIENT, World

SLOT_SECONDS = 2.5
"""How long the prepared request has to wait for its slot."""

pytestmark = pytest.mark.chaos


def let_a_stopped_worker_go_on(world: World, *, guards: str) -> list[int]:
    """Stop a worker with its request prepared, let another deliver a newer balance, and go on.

    The request waits for a slot in which it may start when its worker is stopped. The worker goes
    on while the other's request is under way, and dies before it can record anything. Returns the
    balances that the phone showed.
    """
    (card,) = world.seed(1)
    world.sell(points=5)
    trap = Failpoint("after_claim", world.new_folder())
    first = world.start(environment={**trap.environment, "CHAOS_GUARDS": guards})
    trap.wait()
    booked_until = timezone.now() + timedelta(seconds=SLOT_SECONDS)
    WalletLimit.objects.create(wallet="google", next_slot_at=booked_until)
    trap.release()
    wait_for(lambda: WalletLimit.objects.filter(next_slot_at__gt=booked_until).exists())
    first.send(signal.SIGSTOP)

    wait_for(lambda: WalletPass.objects.filter(lease_until__lt=DatabaseNow()).exists())
    world.sell(points=5)
    world.google.set_latency(3)  # A write takes effect on arrival; its answer is late.
    second = world.start("--wait", environment={"CHAOS_GUARDS": guards} | PATIENT)
    object_id = card.google_object_id
    wait_for(lambda: len(world.google.applied_writes(object_id)) == 1)
    world.google.set_latency(1)
    first.send(signal.SIGCONT)
    wait_for(lambda: not first.is_running or len(world.google.applied_writes(object_id)) == 2)
    first.kill()
    assert second.wait() == 0, second.log
    return applied_balances(world.google, object_id)


def test_without_guards_a_stopped_worker_overwrites_a_newer_balance(world: World) -> None:
    """Two writers at once, and in the end the phone is wrong though nothing is due."""
    balances = let_a_stopped_worker_go_on(world, guards="off")

    assert balances == [10, 5]
    assert count_overlaps(world.google) == 1
    assert world.due() == 0
    with pytest.raises(AssertionError):
        check_invariants(world)


def test_with_guards_a_stopped_worker_sends_nothing_more(world: World) -> None:
    """The lease ended while the request waited: it is never sent, and the phone is right."""
    balances = let_a_stopped_worker_go_on(world, guards="on")

    assert balances == [10]
    check_invariants(world)


def let_two_workers_take_the_same_cards(world: World, *, guards: str) -> None:
    """While one worker's requests are under way, another is asked for the same cards."""
    keys = [card.key for card in world.seed(3)]
    world.sell()
    held = HeldRequests(world.google, at_least=3)
    environment = {"CHAOS_GUARDS": guards} | PATIENT
    first = world.start("--card", *keys, environment=environment)
    held.wait()
    second = world.start("--card", *keys, environment=environment)
    wait_for(lambda: not second.is_running or held.count >= 6)
    held.release()
    first.wait()
    second.wait()


def test_without_guards_two_workers_write_one_card_at_once(world: World) -> None:
    """A claim that does not ask whether a pass is leased makes writers overlap."""
    let_two_workers_take_the_same_cards(world, guards="off")

    assert count_overlaps(world.google) == 3
    assert world.google.max_in_flight_per_object == 2


def test_with_guards_two_workers_share_no_card(world: World) -> None:
    """The second worker leaves the cards to the first, which sees what was asked for meanwhile."""
    let_two_workers_take_the_same_cards(world, guards="on")

    assert world.google.max_in_flight_per_object == 1
    world.perhaps_twice += 3
    check_invariants(world)
