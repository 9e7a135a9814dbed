"""A shop with one program and one card, and a configured wallet that is never called."""

from __future__ import annotations

from typing import Any, Protocol

import pytest
from pytest_django import Settings

from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram, WalletPass


class Configure(Protocol):
    """Configure Google wallets under these aliases."""

    def __call__(self, *aliases: str) -> None: ...


@pytest.fixture
def configure(settings: Settings) -> Configure:
    def change(*aliases: str) -> None:
        options: dict[str, Any] = {"issuer_id": "3388000000000000001", "credentials": "none.json"}
        backend = "loyalty_wallet.wallets.google.GoogleWallet"
        wallets = {alias: {"BACKEND": backend, "OPTIONS": options} for alias in aliases}
        settings.LOYALTY_WALLET = {"WALLETS": wallets}

    change("google")
    return change


@pytest.fixture
def program(configure: Configure, db: None) -> LoyaltyProgram:
    return LoyaltyProgram.objects.create(
        name="Coffee Club", slug="coffee", issuer_name="Corner Shop"
    )


@pytest.fixture
def card(program: LoyaltyProgram) -> LoyaltyCard:
    return LoyaltyCard.objects.create(program=program, card_number="C1", holder_name="Ada")


@pytest.fixture
def wallet_pass(card: LoyaltyCard) -> WalletPass:
    """The card's pass, delivered: its phone is right."""
    wallet_pass = WalletPass.objects.get(card_key=card.key)
    WalletPass.objects.update(due_at=None, synced_revision=wallet_pass.desired_revision)
    wallet_pass.refresh_from_db()
    return wallet_pass
