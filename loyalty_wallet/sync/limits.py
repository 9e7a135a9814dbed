"""The rate limit of one wallet: reservations in a row, no bursts."""

from __future__ import annotations

import asyncio
import time


class RateLimiter:
    """Spaces requests evenly (GCRA with a burst of 1), and pauses when the provider asks for it.

    A caller books the next free slot and sleeps until then: exact and fair, where limiters that
    check and retry overshoot or starve.
    """

    def __init__(self, requests_per_second: float | None) -> None:
        self._interval = 0.0 if requests_per_second is None else 1 / requests_per_second
        self._next_slot = 0.0
        self._paused_until = 0.0

    async def wait(self) -> None:
        """Sleep until a request may start."""
        while True:
            now = time.monotonic()
            slot = max(now, self._next_slot, self._paused_until)
            self._next_slot = slot + self._interval
            if slot > now:
                await asyncio.sleep(slot - now)
            # A pause that began meanwhile voids the slots booked before it.
            if time.monotonic() >= self._paused_until:
                return

    def pause(self, seconds: float) -> None:
        """Let no request start for this long."""
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)
