"""One limit over all processes, wherever its slots are booked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from loyalty_wallet.models import LoyaltyCard

from .invariants import busiest_second, check_invariants
from .world import World

PROCESSES = 4
CARDS_EACH = 30
LIMIT = 20
MOST_TRIALS = 3
"""A machine with other work to do bunches requests on their way: it may be asked again."""

pytestmark = pytest.mark.chaos


@pytest.mark.parametrize("place", ["database", "redis"])
def test_four_processes_share_the_quota(world: World, place: str) -> None:
    """Case 5: in no second do more than 21 requests about cards arrive, from all four together."""
    cards = world.seed(PROCESSES * CARDS_EACH)
    for trial in range(1, MOST_TRIALS + 1):
        world.google._service.log.clear()
        world.sell()
        deliver_with_four_processes(world, cards, place)
        assert len({request.token for request in world.google.object_requests}) == PROCESSES
        assert len(world.google.object_requests) == len(cards)
        busiest = busiest_second(world.google)
        if busiest <= LIMIT + 1:
            break
        assert trial < MOST_TRIALS, f"{busiest} requests in one second"
    world.perhaps_twice += len(cards)
    check_invariants(world)


def deliver_with_four_processes(world: World, cards: Sequence[LoyaltyCard], place: str) -> None:
    conf: dict[str, Any] = {"RATE_LIMIT_REDIS_URL": world.redis_url} if place == "redis" else {}
    limit = {"CHAOS_WALLET_OPTIONS": f'{{"requests_per_second": {LIMIT}}}'}
    shares = [[card.key for card in cards[first::PROCESSES]] for first in range(PROCESSES)]
    workers = [world.start("--card", *share, environment=limit, **conf) for share in shares]
    for worker in workers:
        assert worker.wait() == 0, worker.log
