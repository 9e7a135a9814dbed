"""Whose turn it is: the programs of one wallet share its rate limit.

Claimed by age alone, five cards of one brand would wait behind fifty thousand of another for as
long as these take.
"""

from __future__ import annotations

import time
from collections import deque

from django.db.models import Q

from ...models import WalletPass

LOOK_SECONDS = 10
"""How soon a program whose cards have become due gets a turn."""
MOST_AT_ONCE = 20
"""Programs that share one batch; where there are more, they take turns."""


class Turns:
    """The programs that have something due, in an order that goes round."""

    def __init__(self) -> None:
        self._programs: deque[str] = deque()
        self._looked_at = float("-inf")

    def next(self, scope: Q) -> list[str]:
        """Return the programs that share the next batch; none where there is but one."""
        now = time.monotonic()
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            due = WalletPass.objects.due().filter(scope).order_by()
            self._programs = deque(due.values_list("program_key", flat=True).distinct())
        if len(self._programs) <= 1:
            return []
        taken = list(self._programs)[:MOST_AT_ONCE]
        self._programs.rotate(-len(taken))
        return taken
