"""The circuit breaker of one wallet: stops new cards when the provider is plainly down.

Cards that were begun make all their attempts, and their answers decide whether it closes again:
a partial outage, where retries pay, must not trip it, and a short one must not end the run.
"""

from __future__ import annotations

from collections import deque

from ...exceptions import DeliveryTimeoutError, NetworkError, UnavailableError

OUTAGE = (UnavailableError, NetworkError, DeliveryTimeoutError)
"""Failures that speak of the provider, not of the card."""
OUTAGE_CODES = frozenset(error.code for error in OUTAGE)

WINDOW = 50
LEAST = 20
OPEN_RATE = 0.8
CONSECUTIVE_TIMEOUTS = 20
CLOSING_WINDOW = 10
CLOSING_GOOD = 8
ARMED_ABOVE = 100
"""Due passes up to which every card gets its attempts, whatever the provider does."""


class Breaker:
    """Judges the answers of one wallet in the order in which they come."""

    def __init__(self, *, is_armed: bool) -> None:
        self.is_open = False
        self._is_armed = is_armed
        self._is_good: deque[bool] = deque(maxlen=WINDOW)
        self._timeouts = 0

    def note(self, *, is_good: bool, is_timeout: bool = False, is_retry: bool = False) -> None:
        """Take notice of one attempt; `is_good` means that the provider answered for real.

        A card that always fails speaks once: bad retries count only against closing again.
        """
        if is_retry and not is_good and not self.is_open:
            return
        self._is_good.append(is_good)
        self._timeouts = self._timeouts + 1 if is_timeout else 0
        if self.is_open:
            latest = list(self._is_good)[-CLOSING_WINDOW:]
            if sum(latest) >= CLOSING_GOOD:
                self.is_open = False
                self._is_good.clear()
        elif self._is_armed:
            self.is_open = self._is_down()

    def _is_down(self) -> bool:
        if self._timeouts >= CONSECUTIVE_TIMEOUTS:
            return True
        bad = len(self._is_good) - sum(self._is_good)
        return len(self._is_good) >= LEAST and bad >= OPEN_RATE * len(self._is_good)
