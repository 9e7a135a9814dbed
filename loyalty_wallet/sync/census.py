"""Whether cards that are not found are really gone, or the card source is out of order.

A source that reads the wrong table, or a filter gone wrong, makes all cards look gone. To void them
on every phone would be worse than to wait for a person.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

from ..exceptions import CardsGoneError
from ..models import WalletPass
from ..sources import get_card_source
from .leases import ClaimedPass

logger = logging.getLogger("loyalty_wallet.sync")

FEW = 10
"""So many cards may be gone in a run, whatever else it looks up."""
SAMPLE_SIZE = 100


class Census:
    """Counts for a run which of one wallet's cards were found."""

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._present = 0
        self._gone = 0
        self._is_sound: bool | None = None

    @property
    def doubt(self) -> CardsGoneError:
        return CardsGoneError(
            f"The card source does not find {self._gone} of {self._gone + self._present} cards."
        )

    def take(self, *, present: Collection[str], gone: Sequence[ClaimedPass]) -> bool:
        """Count these; say whether the ones that were not found are gone for certain.

        Passes that were voided already count for nothing. When most cards of a run are missing, a
        sample of all others decides: a sound source finds most of those.
        """
        missing = [row for row in gone if row.state != WalletPass.State.VOIDED]
        self._present += len(present)
        self._gone += len(missing)
        if self._gone <= FEW or self._gone <= self._present:
            return True
        if self._is_sound is None and missing:
            self._is_sound = self._ask_for_others(missing)
            if not self._is_sound:
                logger.error("The wallet %r: %s", self._alias, self.doubt.message)
        return bool(self._is_sound)

    def _ask_for_others(self, missing: Sequence[ClaimedPass]) -> bool:
        others = WalletPass.objects.filter(
            wallet=self._alias, state=WalletPass.State.ACTIVE, due_at__isnull=True
        ).exclude(card_key__in=[row.card_key for row in missing])
        keys = list(others.order_by("-pk").values_list("card_key", flat=True)[:SAMPLE_SIZE])
        found = sum(1 for _ in get_card_source().rows_for(keys)) if keys else 0
        return found * 2 > len(keys)
