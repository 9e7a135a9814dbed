"""One wallet's trouble is no other's: each alias has its own slots, limit, breaker and end."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from pytest_django import Settings

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram, WalletPass
from loyalty_wallet.sync import sync_wallet_passes, touch
from tests.shopfront import FAST

CARDS = 110
"""Each alias: enough for its breaker to be armed."""

pytestmark = pytest.mark.django_db


@pytest.fixture
def other() -> Iterator[GoogleEmulator]:
    """The Google of another issuer account."""
    with GoogleEmulator(requests_per_second=None, issuer_id="3388000000000000002") as emulator:
        yield emulator


@pytest.fixture
def due(google: GoogleEmulator, other: GoogleEmulator, settings: Settings) -> None:
    """Two programs with cards, each in a Google Wallet of its own."""
    settings.LOYALTY_WALLET = {
        "WALLETS": {
            alias: {
                "BACKEND": "loyalty_wallet.wallets.google.GoogleWallet",
                "OPTIONS": {**emulator.wallet_options, "requests_per_second": None},
            }
            for alias, emulator in (("google", google), ("other", other))
        },
        "RETRY_DELAYS": FAST,
    }
    for alias in ("google", "other"):
        program = LoyaltyProgram.objects.create(
            name=alias, slug=alias, issuer_name="Café", google_wallet=alias, apple_wallet=""
        )
        cards = LoyaltyCard.objects.bulk_create(
            LoyaltyCard(program=program, card_number=f"{alias}{number}") for number in range(CARDS)
        )
        touch(card.key for card in cards)


@pytest.mark.parametrize(
    "trouble",
    [
        lambda other: other.fail(status=503),
        lambda other: other.fail(status=401),
        lambda other: other.fail(endpoint="object", status=429, retry_after=600),
    ],
    ids=["down", "refuses us", "asks for ten minutes"],
)
def test_an_alias_in_trouble_leaves_the_others_alone(
    google: GoogleEmulator,
    other: GoogleEmulator,
    due: None,
    trouble: Callable[[GoogleEmulator], object],
) -> None:
    """Case 53 for accounts: all cards of the healthy one are right, all of the other are due."""
    trouble(other)

    report = sync_wallet_passes()

    assert report.status == "partial"
    assert report.wallets["google"]["created"] == CARDS
    assert report.wallets["other"]["created"] == 0
    assert len(google.objects) == CARDS
    assert not WalletPass.objects.filter(wallet="google").due().exists()
    assert WalletPass.objects.filter(wallet="other").due().count() == CARDS
