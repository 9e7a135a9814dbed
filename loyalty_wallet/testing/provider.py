"""A double of a provider, as `WalletContract` uses it, and what can be wrong with it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar

from ..models import LoyaltyCard


class Trouble(StrEnum):
    """What can be wrong with a provider; the value is the failure code that it should get."""

    UNAVAILABLE = "unavailable"
    RATE_LIMITED = "rate_limited"
    TIMEOUT = "timeout"
    NETWORK = "network"
    REJECTED = "rejected"
    UNAUTHORIZED = "unauthorized"


RETRYABLE = (Trouble.UNAVAILABLE, Trouble.RATE_LIMITED, Trouble.TIMEOUT)


class ProviderDouble(ABC):
    """A double of the provider, as the contract uses it."""

    backend: ClassVar[str]
    """The wallet's class, as a dotted path."""
    codes: ClassVar[Mapping[Trouble, str]] = {}
    """Failure codes of this provider that are not those of the troubles themselves."""

    @property
    @abstractmethod
    def options(self) -> dict[str, Any]:
        """OPTIONS of a wallet that talks to this double."""

    @property
    @abstractmethod
    def bad_options(self) -> dict[str, Any]:
        """Changes to `options` with which nothing could be delivered, without asking anybody."""

    @abstractmethod
    def balance(self, remote_id: str) -> int | None:
        """Return the points that a customer sees now; None when there is no such pass."""

    @abstractmethod
    def count_requests(self) -> int:
        """Return how many requests about passes have come in so far."""

    @abstractmethod
    def suffer(self, trouble: Trouble, *, times: int | None) -> None:
        """Let requests about passes go wrong so many times, or until `recover`."""

    @abstractmethod
    def recover(self) -> None:
        """Let everything go well again."""

    def prepare(self, card: LoyaltyCard) -> None:  # noqa: B027 (most need nothing)
        """Do what a card needs before it is delivered, such as a phone that has its pass."""
