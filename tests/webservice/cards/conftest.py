from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram

from .browsing import DESKTOP


@pytest.fixture(autouse=True)
def _with_both_wallets(configure_apple: Callable[..., None]) -> None:
    """Google's wallet, and Apple's beside it."""


@pytest.fixture
def card(program: LoyaltyProgram) -> LoyaltyCard:
    """A card that no wallet has yet."""
    program.auto_issue = False
    program.kind = LoyaltyProgram.Kind.HYBRID
    program.background_color = "#0b3d2e"
    program.save()
    return LoyaltyCard.objects.create(
        program=program,
        card_number="4711",
        holder_name="Ada <Adler>",
        points_balance=12450,
        stamps=7,
        tier="Gold",
    )


@pytest.fixture
def browser() -> Client:
    return Client(headers={"user-agent": DESKTOP})
