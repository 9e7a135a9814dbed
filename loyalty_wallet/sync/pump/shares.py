"""One wallet's part of a run, as the thread that owns the database sees it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, wait

from django.db.models import Q

from ...exceptions import DeliveryError
from ...wallets.base import Wallet
from ..phones.receipts import BadTargets
from .delivery import Lane
from .jobs import Job
from .rendering import Renderer
from .retry import LONGEST_RETRY_AFTER_SECONDS
from .threads import DeliveryThread
from .turns import Turns


class Share:
    """What of the selection is still to claim, what is in flight, and what waits to be recorded."""

    def __init__(self, wallet: Wallet, renderer: Renderer) -> None:
        self.wallet = wallet
        self.renderer = renderer
        self.lane: Lane | None = None
        self._thread: DeliveryThread | None = None
        self._served: Future[None] | None = None
        self.is_deferred = False
        self.turns = Turns()
        self.is_long = False
        """The last batch was full: more is due than that."""
        self.ready: list[Job] = []
        self.in_flight = 0
        self.counts: Counter[str] = Counter()
        self.bad_targets = BadTargets()
        self.scopes: Iterator[Q] = iter(())
        self.scope: Q | None = None

    @property
    def stopped_by(self) -> DeliveryError | None:
        return self.lane.stopped_by if self.lane else None

    @property
    def was_tried(self) -> bool:
        """False when the wallet was stopped before a single request could be made."""
        return self.stopped_by is None or bool(self.lane and self.lane.has_authenticated)

    @property
    def is_over(self) -> bool:
        """Whether this run claims no more for the wallet: it is stopped, or has given up for now."""
        return self.lane is not None and (
            self.lane.stopped_by is not None or bool(self.lane.gave_up_for)
        )

    @property
    def is_drained(self) -> bool:
        """Whether nothing is left to claim for now."""
        return self.scope is None or self.is_over

    def open_lane(self, lane: Lane, thread: DeliveryThread) -> None:
        self.lane = lane
        self._thread = thread
        self._served = thread.serve(lane)

    def hand_over(self, jobs: list[Job]) -> None:
        """Let the lane deliver these."""
        if self.lane and self._thread:
            self.in_flight += len(jobs)
            self._thread.call(self.lane.add, jobs)

    def book_slots(self) -> None:
        """Book what the lane needs of the shared rate limit: only this thread may ask the database."""
        if not (self.lane and self._thread):
            return
        limiter = self.lane.limiter
        if slots := limiter.book_needed():
            self._thread.call(limiter.grant, slots)
        elif limiter.line_seconds > LONGEST_RETRY_AFTER_SECONDS:
            # Another process was told to wait, and so are we.
            self._thread.call(limiter.hold, limiter.line_seconds)

    @property
    def seconds_to_booking(self) -> float:
        """When to try again what the line of the rate limit did not allow; infinite if nothing."""
        if self.lane is None or not self.lane.limiter.line_seconds:
            return math.inf
        return self.lane.limiter.seconds_to_booking

    def stop_new(self) -> None:
        """Claim no more, and let the lane give back what nobody has begun."""
        self.scope = None
        if self.lane and self._thread:
            self._thread.call(self.lane.stop_new)

    def close_lane(self) -> None:
        """Let the lane end when it is empty."""
        if self.lane and self._thread:
            self._thread.call(self.lane.close)

    def wait_for_lane(self) -> None:
        if self._served:
            wait([self._served])
        if self.lane:
            # The last answer may have asked for it.
            self.lane.limiter.share_pause()

    def cancel_lane(self) -> None:
        if self._served:
            self._served.cancel()

    def begin(self, scopes: Iterator[Q]) -> None:
        self.scopes = scopes
        self.scope = next(scopes, None)

    def next_scope(self) -> None:
        self.scope = next(self.scopes, None)

    def collect(self) -> None:
        """Take over the jobs that the lane has ended."""
        while self.lane and self.lane.finished:
            self.ready.append(self.lane.finished.popleft())
            self.in_flight -= 1
