"""What a lane does next: due retries first, then what nobody has tried, in the order of its claim."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from .jobs import Job


class _Retry(NamedTuple):
    due: float
    sequence: int
    """Its place among equals."""
    delay: float
    """How long it has waited when it is due."""
    job: Job


class Schedule:
    """The jobs of a lane that nobody works on; times are those of the loop's clock, in seconds.

    A last attempt lets untried jobs go first, at most for as long again as it has waited: nothing
    follows it, while the whole run waits for the attempts of the card that is tried last.
    """

    def __init__(self) -> None:
        self._untried: deque[Job] = deque()
        self._retries: list[_Retry] = []
        self._last_attempts: list[_Retry] = []
        self._sequence = itertools.count()

    @property
    def untried(self) -> int:
        """How many jobs nobody has begun."""
        return len(self._untried)

    @property
    def waiting(self) -> int:
        """How many jobs wait for their next attempt."""
        return len(self._retries) + len(self._last_attempts)

    def add(self, job: Job) -> None:
        self._untried.append(job)

    def retry(self, job: Job, *, now: float, delay: float, is_last: bool) -> None:
        """Let a job wait for its next attempt; `is_last` when none will follow that."""
        queue = self._last_attempts if is_last else self._retries
        heapq.heappush(queue, _Retry(now + delay, next(self._sequence), delay, job))

    def next(self, now: float, *, may_begin: bool) -> Job | None:
        """Take out the job whose turn it is, an untried one only if it `may_begin`."""
        if self._retries and self._retries[0].due <= now:
            return heapq.heappop(self._retries).job
        begins = may_begin and bool(self._untried)
        if self._last_attempts:
            last = self._last_attempts[0]
            if (last.due + last.delay if begins else last.due) <= now:
                return heapq.heappop(self._last_attempts).job
        return self._untried.popleft() if begins else None

    def seconds_to_retry(self, now: float) -> float | None:
        """Return when the next retry is due; None if there is none."""
        queues = (self._retries, self._last_attempts)
        return min((queue[0].due - now for queue in queues if queue), default=None)

    def drop_untried(self) -> Iterator[Job]:
        while self._untried:
            yield self._untried.popleft()

    def drop_retries(self) -> Iterator[Job]:
        for queue in (self._retries, self._last_attempts):
            while queue:
                yield heapq.heappop(queue).job
