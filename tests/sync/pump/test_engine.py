"""The pump of a run: claims ahead of its lanes, and wakes when there is something to do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, WalletPass
from loyalty_wallet.sync import sync_wallet_passes
from loyalty_wallet.sync.pump import engine
from tests.shopfront import Configure

CARDS = 120

pytestmark = pytest.mark.django_db


@pytest.mark.timeout(60, method="signal")
@pytest.mark.parametrize("concurrency", [1, 2, 16])
def test_it_needs_no_clock(
    google: GoogleEmulator,
    configure: Configure,
    right_cards: Callable[[int], list[LoyaltyCard]],
    monkeypatch: pytest.MonkeyPatch,
    concurrency: int,
) -> None:
    """Whatever ends wakes it: with a tick of ten minutes, every batch follows the one before."""
    for card in right_cards(CARDS):
        card.record("earn", points=1)
    configure(BATCH_SIZE=4, concurrency=concurrency)
    monkeypatch.setattr(engine, "TICK_SECONDS", 600)

    report = sync_wallet_passes()

    assert report.cards["synced"] == CARDS
    assert not WalletPass.objects.due().exists()
