"""Card sources and wallets that misbehave."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from loyalty_wallet.cards import Card
from loyalty_wallet.models import LoyaltyCard
from loyalty_wallet.sources import LoyaltyCardSource
from loyalty_wallet.wallets.base import Outcome, PassUpdate, Permit
from loyalty_wallet.wallets.google.session import GoogleSession


class ExplodingSource(LoyaltyCardSource):
    """Cannot read cards of the tier "boom"."""

    def to_card(self, row: LoyaltyCard) -> Card:
        if row.tier == "boom":
            raise RuntimeError("A bug in the shop's own code.")
        return super().to_card(row)


class BrokenOffSource(LoyaltyCardSource):
    """Somebody presses Ctrl-C at the card of the tier "boom"."""

    def to_card(self, row: LoyaltyCard) -> Card:
        if row.tier == "boom":
            raise KeyboardInterrupt
        return super().to_card(row)


class ForgetfulSource(LoyaltyCardSource):
    """Cannot say what has changed."""

    def changed_since(self, moment: datetime) -> Iterator[str]:
        raise RuntimeError("The CRM is down.")


@contextmanager
def break_deliveries_of(remote_id: str) -> Iterator[None]:
    """Plant a bug in the Google wallet that one pass runs into."""
    deliver = GoogleSession.deliver

    async def broken(self: GoogleSession, update: PassUpdate, permit: Permit) -> Outcome:
        if update.remote_id == remote_id:
            raise ZeroDivisionError("A bug in the wallet.")
        return await deliver(self, update, permit)

    GoogleSession.deliver = broken  # type: ignore[method-assign]
    try:
        yield
    finally:
        GoogleSession.deliver = deliver  # type: ignore[method-assign]
