from __future__ import annotations

import pytest
from django.core.cache import cache

from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram
from tests.phonefront import apns, authority, configure_apple
from tests.shopfront import configure, google, make_cards, program, right_cards

__all__ = [
    "apns",
    "authority",
    "configure",
    "configure_apple",
    "google",
    "make_cards",
    "program",
    "right_cards",
]


@pytest.fixture(autouse=True)
def _no_limits_from_other_tests() -> None:
    cache.clear()


@pytest.fixture
def waiting_card(program: LoyaltyProgram) -> LoyaltyCard:
    """A card that gets a pass only when its customer asks for one."""
    program.auto_issue = False
    program.save()
    return LoyaltyCard.objects.create(
        program=program, card_number="4711", holder_name="Ada Adler", points_balance=120
    )
