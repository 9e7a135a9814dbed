"""Fixtures: a shop with cards, and a Google that runs here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pytest
from pytest_django import Settings

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram, WalletPass
from loyalty_wallet.sync import sync_wallet_passes, touch

FAST = [0.05, 0.1, 0.2]
"""The ladder of 1, 4 and 16 s, for tests in which only its order matters."""


class Configure(Protocol):
    """Change OPTIONS of the Google wallet, or upper-case keys of LOYALTY_WALLET."""

    def __call__(self, **changes: Any) -> None: ...


@pytest.fixture
def google() -> Iterator[GoogleEmulator]:
    with GoogleEmulator(requests_per_second=None) as emulator:
        yield emulator


@pytest.fixture
def configure(settings: Settings, google: GoogleEmulator) -> Configure:
    def change(**changes: Any) -> None:
        options: dict[str, Any] = {**google.wallet_options, "requests_per_second": None}
        keys: dict[str, Any] = {"RETRY_DELAYS": FAST}
        for name, value in changes.items():
            (keys if name.isupper() else options)[name] = value
        settings.LOYALTY_WALLET = {
            "WALLETS": {
                "google": {
                    "BACKEND": "loyalty_wallet.wallets.google.GoogleWallet",
                    "OPTIONS": options,
                }
            },
            **keys,
        }

    change()
    return change


@pytest.fixture
def program(configure: Configure, db: None) -> LoyaltyProgram:
    return LoyaltyProgram.objects.create(
        name="Coffee Club", slug="coffee", issuer_name="Corner Café"
    )


@pytest.fixture
def make_cards(program: LoyaltyProgram) -> Callable[[int], list[LoyaltyCard]]:
    def make(count: int) -> list[LoyaltyCard]:
        first = LoyaltyCard.objects.count() + 1
        cards = LoyaltyCard.objects.bulk_create(
            LoyaltyCard(program=program, card_number=f"C{first + number:05}")
            for number in range(count)
        )
        touch(card.key for card in cards)
        return cards

    return make


@pytest.fixture
def right_cards(
    make_cards: Callable[[int], list[LoyaltyCard]], google: GoogleEmulator
) -> Callable[[int], list[LoyaltyCard]]:
    """Make cards whose passes are right already, and forget how they came to be."""

    def make(count: int) -> list[LoyaltyCard]:
        cards = make_cards(count)
        report = sync_wallet_passes()
        assert report.cards["synced"] == count
        google._service.log.clear()
        return cards

    return make


def balance_at(google: GoogleEmulator, card: LoyaltyCard) -> int:
    """Return the balance that the phone shows."""
    balance: int = google.objects[card.google_object_id]["loyaltyPoints"]["balance"]["int"]
    return balance


def pass_of(card: LoyaltyCard) -> WalletPass:
    return WalletPass.objects.get(card_key=card.key, wallet="google")
