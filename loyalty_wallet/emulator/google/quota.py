"""Google's request quota: a token bucket that holds one second's worth."""

from __future__ import annotations

import time

from .errors import RateLimitError


class Quota:
    """Lets `requests_per_second` through and refuses the rest; None lets everything through."""

    def __init__(
        self, requests_per_second: float | None, *, retry_after: float | str | None = None
    ) -> None:
        if requests_per_second is not None and requests_per_second <= 0:
            raise ValueError("requests_per_second must be above 0, or None for no limit.")
        self.requests_per_second = requests_per_second
        self.retry_after = retry_after
        self._capacity = max(1.0, requests_per_second or 0.0)
        self._level = self._capacity
        self._filled_at = time.monotonic()

    def spend(self) -> None:
        """Take one request from the bucket; raises RateLimitError when it is empty."""
        if self.requests_per_second is None:
            return
        now = time.monotonic()
        refill = (now - self._filled_at) * self.requests_per_second
        self._level = min(self._capacity, self._level + refill)
        self._filled_at = now
        if self._level < 1.0:
            raise RateLimitError("Rate Limit Exceeded", retry_after=self.retry_after)
        self._level -= 1.0
