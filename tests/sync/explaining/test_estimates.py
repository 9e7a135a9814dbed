"""What syncing cards again would cost, before anybody says yes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, WalletPass
from loyalty_wallet.sync import sync_wallet_passes
from loyalty_wallet.sync.explaining.estimates import Estimate, estimate
from tests.phonefront import register
from tests.shopfront import Configure

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db


def estimate_of(cards: list[LoyaltyCard], most_compared: int = 500) -> dict[str, Estimate]:
    keys = [card.key for card in cards]
    return {row.alias: row for row in estimate(keys, most_compared=most_compared)}


def test_it_is_what_the_run_needs(google: GoogleEmulator, right_cards: MakeCards) -> None:
    """As many requests are made as were foretold, forced or not; nothing is sent to foretell it."""
    cards = right_cards(6)
    LoyaltyCard.objects.filter(pk__in=[cards[0].pk, cards[1].pk]).update(points_balance=5)
    LoyaltyCard.objects.filter(pk=cards[2].pk).update(points_balance=2**40)
    foretold = estimate_of(cards)["google"]
    assert google.object_requests == []
    assert (foretold.passes, foretold.unchanged, foretold.unreadable) == (6, 3, 1)
    sync_wallet_passes(selection={"kind": "cards", "cards": [card.key for card in cards]})
    assert len(google.object_requests) == foretold.requests == 2
    assert foretold.forced_requests == 5


def test_orders_of_others_do_not_count(right_cards: MakeCards) -> None:
    """A pass that somebody has forced already is unchanged all the same."""
    cards = right_cards(2)
    WalletPass.objects.touch()
    WalletPass.objects.update(is_forced=True)
    assert estimate_of(cards)["google"].unchanged == 2


def test_what_is_not_compared_is_a_range(right_cards: MakeCards, configure: Configure) -> None:
    """Beyond the bound a pass may have changed or not; the time is that of the most requests."""
    configure(requests_per_second=2)
    cards = right_cards(5)
    LoyaltyCard.objects.filter(pk=cards[0].pk).update(points_balance=5)
    foretold = estimate_of(cards, most_compared=3)["google"]
    assert not foretold.is_whole
    assert (foretold.compared, foretold.unchanged) == (3, 2)
    assert (foretold.requests, foretold.most_requests) == (1, 3)
    assert foretold.most_forced_requests == 5
    assert (foretold.seconds, foretold.forced_seconds) == (1.5, 2.5)


@pytest.mark.usefixtures("configure_apple")
def test_iphones_cost_a_push_for_each_device(right_cards: MakeCards) -> None:
    """A card that nobody holds costs none; there is no limit on pushes."""
    cards = right_cards(3)
    register(cards[0])
    register(cards[0])
    register(cards[1])
    LoyaltyCard.objects.update(points_balance=5)
    foretold = estimate_of(cards)["apple"]
    assert (foretold.passes, foretold.requests) == (3, 3)
    assert foretold.seconds is None
