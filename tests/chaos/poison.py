"""A card source with cards that no process survives, as a broken C extension would make them."""

from __future__ import annotations

import os

from loyalty_wallet.cards import Card
from loyalty_wallet.models import LoyaltyCard
from loyalty_wallet.sources import LoyaltyCardSource

POISON = "POISON"


class PoisonSource(LoyaltyCardSource):
    def to_card(self, row: LoyaltyCard) -> Card:
        if row.holder_name == POISON:
            os._exit(9)
        return super().to_card(row)
