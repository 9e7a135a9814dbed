"""The near end of the pump: claims due passes, renders them and hands them to their lanes."""

from __future__ import annotations

import threading

from django.db.models import Q

from ...conf import get_conf
from ..failpoints import failpoint
from ..leases import ClaimedPass, Lease, claim
from ..orders import Orders
from ..phones.publishing import publish
from .backlog import Backlog
from .breaker import ARMED_ABOVE, LEAST, OUTAGE_CODES, Breaker
from .delivery import Lane
from .limits import RateLimiter, slot_source_for
from .retry import RetryPolicy
from .shares import Share
from .threads import DeliveryThread

MOST_WAITING = 20_000
"""Cards of one wallet that may wait for their next attempt before no new ones are claimed."""


class Intake:
    """Claims as much as the lanes need soon, and keeps the leases of what is in flight.

    A `thread` that is given is used and left open; otherwise one is started with the first job.
    `is_urgent` says that a customer waits for what is delivered.
    """

    def __init__(
        self,
        backlog: Backlog,
        *,
        orders: Orders,
        announce: threading.Event,
        thread: DeliveryThread | None,
        is_urgent: bool,
    ) -> None:
        conf = get_conf()
        self._batch_size = conf.batch_size
        self._low_water = max(1, self._batch_size // 2)
        self._policy = RetryPolicy(conf.retry_delays, max_attempts=orders.max_attempts)
        self._limit = orders.limit
        self._is_urgent = is_urgent
        self._goes_first = orders.goes_first
        self._backlog = backlog
        self._announce = announce
        self._thread = thread
        self._owns_thread = thread is None
        self._leases: list[Lease] = []
        self._claimed = 0

    def wants_more(self, share: Share) -> bool:
        """Say whether the lane will soon run dry."""
        if share.is_drained:
            return False
        if self._limit is not None and self._claimed >= self._limit:
            share.scope = None
            return False
        if share.lane is None:
            return True
        waiting = share.lane.waiting
        unbegun = share.in_flight - waiting - share.wallet.concurrency
        return unbegun < self._low_water and waiting < MOST_WAITING

    def feed(self, share: Share) -> None:
        """Claim the next batch of a share, and go on to its next scope when one is exhausted."""
        if share.scope is None:
            return
        size = self._batch_size
        if self._limit is not None:
            size = min(size, self._limit - self._claimed)
        failpoint("before_claim")
        # What fits in one batch needs no turns.
        programs = share.turns.next(share.scope) if share.is_long else ()
        lease, rows = claim(share.scope, limit=size, programs=programs)
        share.is_long = len(rows) == size
        is_first = share.lane is None and self._limit is None
        if is_first and share.is_long and all(row.met_an_outage for row in rows):
            self._feed_probes(share, share.scope)
        if not share.is_long:
            share.next_scope()
        if rows:
            self._deliver(share, lease, rows)

    def _feed_probes(self, share: Share, scope: Q) -> None:
        """Begin with a few passes whose failure would tell of an outage: that of others does not."""
        lease, rows = claim(scope & ~Q(last_code__in=OUTAGE_CODES), limit=LEAST)
        if rows:
            self._deliver(share, lease, rows)

    def feed_suspect(self, share: Share) -> bool:
        """Claim one pass that may kill this process; return whether there was one."""
        for scope in () if share.is_over else self._backlog.scopes(share.wallet.alias):
            lease, rows = claim(scope, limit=1, is_for_suspects=True)
            if rows:
                self._deliver(share, lease, rows)
                return True
        return False

    def renew_leases(self) -> None:
        self._leases = [lease for lease in self._leases if lease.pks]
        for lease in self._leases:
            lease.renew()

    def close(self) -> None:
        if self._owns_thread and self._thread is not None:
            self._thread.close()

    def _deliver(self, share: Share, lease: Lease, rows: list[ClaimedPass]) -> None:
        failpoint("after_claim")
        self._claimed += len(rows)
        self._leases.append(lease)
        jobs = share.renderer.render(lease, rows)
        if share.wallet.is_published:
            publish(jobs, share.wallet, is_urgent=self._is_urgent)
        share.ready += [job for job in jobs if job.outcome is not None]
        if to_deliver := [job for job in jobs if job.outcome is None]:
            if share.lane is None:
                self._open_lane(share)
            share.hand_over(to_deliver)

    def _open_lane(self, share: Share) -> None:
        if self._thread is None:
            self._thread = DeliveryThread()
        lane = Lane(
            share.wallet,
            policy=self._policy,
            limiter=RateLimiter(slot_source_for(share.wallet), is_urgent=self._goes_first),
            breaker=Breaker(is_armed=self._is_long(share.wallet.alias)),
            announce=self._announce,
            low_water=self._low_water,
        )
        share.open_lane(lane, self._thread)

    def _is_long(self, alias: str) -> bool:
        return self._backlog.is_longer_than(ARMED_ABOVE, alias)
