"""A sale at the till, and the sync that follows it."""

from __future__ import annotations

from loyalty_wallet.models import LoyaltyCard
from loyalty_wallet.sync import sync_wallet_passes


def change(card: LoyaltyCard, points: int = 5) -> None:
    card.record("earn", points=points)
    sync_wallet_passes()
