"""The shop's settings, pointed at an emulated Google."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from loyalty_wallet.emulator import GoogleEmulator


@pytest.fixture
def google(settings: Settings) -> Iterator[GoogleEmulator]:
    """An emulated Google, and a shop that is configured for it as its settings would do it."""
    with GoogleEmulator(requests_per_second=None) as emulator:
        settings.LOYALTY_WALLET = {
            "WALLETS": {
                "google": {
                    "BACKEND": "loyalty_wallet.wallets.google.GoogleWallet",
                    "OPTIONS": {**emulator.wallet_options, "requests_per_second": None},
                }
            },
            "CARD_SOURCE": "tests.shop.sources.MemberSource",
            "RETRY_DELAYS": [0, 0, 0],
        }
        yield emulator
