"""What re-syncing selected cards would mean: how many, at what cost, and by which way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from .. import queueing
from ..conf import get_conf
from ..models import WalletPass
from ..registry import get_wallets
from ..sources import get_card_source
from ..sync import Selection
from ..sync.explaining.estimates import Estimate, count_passes, estimate

MOST_SENT_AT_ONCE = 25
"""Passes that one request sends where no worker can: one attempt each."""
BUDGET_SECONDS = 20
"""How long a person waits for a page at most; no attempt is begun that could end later."""
MARGIN_SECONDS = 1
MOST_CARDS_ON_RUN = 10_000
"""A run on record keeps the keys of its cards; above this it is about everything that is due."""
MOST_NAMES = 20
LONGEST_COMMAND = 20
"""Cards that a command line names; for more it is about everything that is due."""


class Way(StrEnum):
    """How the selected cards are going to be synced."""

    QUEUE = "queue"
    SEND = "send"
    MARK = "mark"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What syncing these cards again means. Raises ImproperlyConfigured when it is asked."""

    keys: list[str]
    wallet: str = ""
    """The one wallet that it is about; empty: all of them."""

    @classmethod
    def for_cards(cls, card_keys: Iterable[str], *, wallet: str = "") -> Plan:
        return cls(keys=list(dict.fromkeys(str(key) for key in card_keys)), wallet=wallet)

    @cached_property
    def has_broker(self) -> bool:
        return queueing.has_broker()

    @cached_property
    def has_live_worker(self) -> bool:
        return self.has_broker and queueing.has_live_worker()

    @cached_property
    def passes(self) -> dict[str, int]:
        """How many passes there are, by configured wallet."""
        counts = count_passes(self.keys)
        return {alias: counts[alias] for alias in counts if self.wallet in ("", alias)}

    @property
    def lacking(self) -> int:
        """How many passes the cards could get at most, where their programs issue at once."""
        return sum(len(self.keys) - count for count in self.passes.values())

    @cached_property
    def estimates(self) -> list[Estimate]:
        return estimate(self.keys, self.passes)

    @cached_property
    def way(self) -> Way:
        if self.has_broker:
            return Way.QUEUE
        is_short = sum(self.passes.values()) + self.lacking <= MOST_SENT_AT_ONCE
        return Way.SEND if is_short and self.seconds_to_begin > 0 else Way.MARK

    @property
    def seconds_to_begin(self) -> float:
        """How long attempts may be begun, so that the last one ends within the budget."""
        longest = max((wallet.timeout_seconds for wallet in get_wallets().values()), default=0.0)
        return BUDGET_SECONDS - MARGIN_SECONDS - longest

    @property
    def attempts(self) -> int:
        """How often a pass is tried at most."""
        return 1 if self.way is Way.SEND else len(get_conf().retry_delays) + 1

    @property
    def is_on_record(self) -> bool:
        """Whether a run can be about these cards and no others."""
        return len(self.keys) <= MOST_CARDS_ON_RUN

    @property
    def can_notify(self) -> bool:
        """Whether customers of these cards, and of no others, could be notified."""
        return self.way is not Way.MARK and self.is_on_record

    @property
    def cards(self) -> Selection:
        return Selection.of_cards(self.keys).narrowed(wallet=self.wallet)

    @property
    def run(self) -> Selection:
        """What the run on record is about."""
        return self.cards if self.is_on_record else Selection()

    @property
    def command(self) -> Selection:
        """What a command line syncs, when these cards are marked as due."""
        return self.cards if len(self.keys) <= LONGEST_COMMAND else Selection()

    def names(self) -> list[str]:
        """Return the names of the first cards, as their passes or their own rows have them."""
        first = self.keys[:MOST_NAMES]
        labels = WalletPass.objects.for_cards(first).exclude(card_label="")
        names = dict(labels.values_list("card_key", "card_label"))
        source = get_card_source()
        if unnamed := [key for key in first if key not in names]:
            names.update((source.key_for(row), str(row)) for row in source.rows_for(unnamed))
        return [names.get(key, key) for key in first]
