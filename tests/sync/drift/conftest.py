from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db.models import F

from loyalty_wallet.models import LoyaltyCard, WalletPass

MakeCards = Callable[[int], list[LoyaltyCard]]


@pytest.fixture
def cards(right_cards: MakeCards) -> MakeCards:
    """Make cards that have been right at Google for an hour."""

    def make(count: int) -> list[LoyaltyCard]:
        made = right_cards(count)
        WalletPass.objects.update(synced_at=F("synced_at") - timedelta(hours=1))
        return made

    return make
