"""What a phone thinks of our pushes: an estimate of its own count of too many in too short a time.

Phones are reported to count, per pass type, pushes that follow each other closely. A high count
delays their fetches by minutes, then by an hour; at the top the phone turns automatic updates off.
Apple documents none of it: the figures are what others have read from the device's behaviour.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db.models import Count

from ...models import AppleRegistration

SHORTEST_GAP_SECONDS = 1800
FREE_GAP_SECONDS = 7200
"""A push this long after the last one costs nothing, shared among the device's passes."""
MOST_FOR_ONE_PUSH = 1.0
"""By which a push right after another one raises the score."""


def score_after_push(
    score: float, *, last_pushed_at: datetime | None, pushed_at: datetime, passes: int
) -> float:
    """Return a device's score after one more push, for so many passes of the type on it."""
    if last_pushed_at is None:
        return score
    free_gap = max(SHORTEST_GAP_SECONDS, FREE_GAP_SECONDS / max(passes, 1))
    haste = (free_gap - (pushed_at - last_pushed_at).total_seconds()) / free_gap
    return max(0.0, score + (haste**3 if haste > 0 else haste))


def is_bearable(
    limit: float | None,
    score: float,
    *,
    last_pushed_at: datetime | None,
    pushed_at: datetime,
    passes: int,
) -> bool:
    """Say whether one more push leaves a device's score within a limit; None is no limit."""
    if limit is None:
        return True
    after = score_after_push(
        score, last_pushed_at=last_pushed_at, pushed_at=pushed_at, passes=passes
    )
    return after <= limit


def count_passes(devices: Iterable[int], using: str) -> dict[int, int]:
    """Return how many passes are on each of these devices."""
    held = AppleRegistration.objects.using(using).filter(device__in=set(devices))
    return dict(held.values_list("device").annotate(passes=Count("pk")))
