"""The delivering side of a run: one lane per wallet, in an event loop.

A lane gets jobs, makes the attempts under its wallet's limits, and hands the jobs back when they
have ended. A card that waits for its next attempt holds no worker, connection or task, so that a
failing card never slows another.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from ...conf import LEASE_MARGIN_SECONDS
from ...exceptions import (
    BugError,
    DeferredError,
    DeliveryError,
    DeliveryTimeoutError,
    LeaseLostError,
    RateLimitedError,
)
from ...wallets.base import Session, Wallet
from .breaker import LEAST, OUTAGE, Breaker
from .jobs import Job, JobOutcome
from .limits import RateLimiter
from .retry import RetryPolicy
from .schedule import Schedule

logger = logging.getLogger("loyalty_wallet.sync")

PAUSE_SECONDS = 1
"""For all cards of a wallet, after a 429 that does not say how long."""


class Lane:
    """One wallet's share of a run: its schedule, its workers, its limits.

    Made and fed in the caller's thread; everything else happens in the loop's.
    """

    def __init__(  # noqa: PLR0913
        self,
        wallet: Wallet,
        *,
        policy: RetryPolicy,
        limiter: RateLimiter,
        breaker: Breaker,
        announce: threading.Event,
        low_water: int,
    ) -> None:
        self.wallet = wallet
        self.limiter = limiter
        self.stopped_by: DeliveryError | None = None
        self.gave_up_for = ""
        """Why this run begins no more cards of the wallet, though nothing is wrong with it."""
        self.has_authenticated = False
        self.finished: deque[Job] = deque()
        self._low_water = low_water
        self._policy = policy
        self._breaker = breaker
        self._schedule = Schedule()
        self._is_accepting = True
        self._is_closing = False
        self._wakeup = asyncio.Event()
        self._begun: set[Job] = set()
        self._announce = announce

    @property
    def waiting(self) -> int:
        """How many jobs wait for their next attempt."""
        return self._schedule.waiting

    def add(self, jobs: Iterable[Job]) -> None:
        for job in _probes_first(jobs):
            if self._is_accepting:
                self._schedule.add(job)
            elif self.gave_up_for:
                self._end(job, JobOutcome.DEFERRED, DeferredError(self.gave_up_for))
            else:
                self._end(job, JobOutcome.RELEASED)
        self._wakeup.set()

    def stop_new(self) -> None:
        """Give back what nobody has begun; what was begun makes its attempts."""
        self._is_accepting = False
        for job in self._schedule.drop_untried():
            self._end(job, JobOutcome.RELEASED)

    def stop(self, error: DeliveryError) -> None:
        """Give up on the wallet: no attempt can succeed before somebody mends it."""
        if self.stopped_by is None:
            self.stopped_by = error
            logger.error(
                "The wallet %r is stopped for this run: %s: %s",
                self.wallet.alias,
                error.code,
                error.message,
            )
        self.stop_new()
        for job in self._schedule.drop_retries():
            self._end(job, JobOutcome.FAILED)

    def close(self) -> None:
        self._is_closing = True
        self._wakeup.set()

    async def run(self, connect: Callable[[Wallet], Awaitable[Session]]) -> None:
        """Serve jobs until the lane is closed and empty."""
        try:
            session = await connect(self.wallet)
            session.begin_run()
            if await self._authenticate(session):
                async with asyncio.TaskGroup() as workers:
                    for _ in range(self.wallet.concurrency):
                        workers.create_task(self._work(session))
        except Exception as error:
            logger.exception("The wallet %r broke down.", self.wallet.alias)
            bug = BugError(f"{type(error).__name__}: {error}")
            self.stop(bug)
            for job in tuple(self._begun):
                self._end(job, JobOutcome.FAILED, bug)
        finally:
            self._announce.set()

    async def _authenticate(self, session: Session) -> bool:
        try:
            await session.authenticate()
        except DeliveryError as error:
            if error.stops_wallet:
                self.stop(error)
                return False
            # In trouble for now: each card's own attempts decide.
        self.has_authenticated = True
        return True

    async def _work(self, session: Session) -> None:
        while (job := await self._next()) is not None:
            await self._attempt(session, job)

    async def _next(self) -> Job | None:
        loop = asyncio.get_running_loop()
        while True:
            if self._schedule.untried and self.limiter.is_paused_for_long:
                self._give_up("The provider asked all cards of the wallet to wait.")
            job = self._schedule.next(loop.time(), may_begin=not self._breaker.is_open)
            if job is not None:
                if not job.attempts and self._schedule.untried == self._low_water - 1:
                    self._announce.set()
                return job
            if self._breaker.is_open and not self._schedule.waiting and not self._begun:
                self._give_up("The provider is down: the circuit breaker is open.")
            if self._is_closing:
                return None
            self._wakeup.clear()
            until_retry = self._schedule.seconds_to_retry(loop.time())
            try:
                async with asyncio.timeout(until_retry):
                    await self._wakeup.wait()
            except TimeoutError:
                continue

    async def _attempt(self, session: Session, job: Job) -> None:
        if job.update is None:
            raise TypeError("A job without an update has nothing to deliver.")
        job.attempts += 1
        self._begun.add(job)
        try:
            outcome = await session.deliver(job.update, partial(self._permit, job))
        except LeaseLostError:
            self._end(job, JobOutcome.RELEASED)
        except DeferredError as error:
            self._end(job, JobOutcome.DEFERRED, error)
        except DeliveryError as error:
            is_good = not isinstance(error, OUTAGE)
            # What failed last time comes first: its failures must not pass for an outage.
            if is_good or not job.row.met_an_outage:
                self._breaker.note(
                    is_good=is_good,
                    is_timeout=isinstance(error, DeliveryTimeoutError),
                    is_retry=job.attempts > 1,
                )
            self._after_failure(job, error)
        except Exception as error:
            logger.exception("Delivering the pass %s failed unexpectedly.", job.row.remote_id)
            self._end(job, JobOutcome.FAILED, BugError(f"{type(error).__name__}: {error}"))
        else:
            self._breaker.note(is_good=True)
            self._end(job, JobOutcome(outcome.value))
        if self._breaker.is_open:
            # Idle workers look whether this was the last card that was begun.
            self._wakeup.set()

    def _give_up(self, reason: str) -> None:
        """Leave to the next run what was not begun."""
        if self.gave_up_for:
            return
        logger.error("The wallet %r: %s The rest is deferred.", self.wallet.alias, reason)
        self.gave_up_for = reason
        self._is_accepting = False
        for job in self._schedule.drop_untried():
            self._end(job, JobOutcome.DEFERRED, DeferredError(reason))
        self._announce.set()

    async def _permit(self, job: Job) -> None:
        needed = self.wallet.timeout_seconds + LEASE_MARGIN_SECONDS
        job.lease.check(job.row.pk, needed_seconds=needed)
        await self.limiter.wait(self._announce.set)
        job.lease.check(job.row.pk, needed_seconds=needed)
        job.requests += 1

    def _after_failure(self, job: Job, error: DeliveryError) -> None:
        pause = PAUSE_SECONDS if isinstance(error, RateLimitedError) else 0
        if seconds := error.retry_after_seconds or pause:
            self.limiter.pause(seconds)
        try:
            delay = self._policy.delay_after(job.attempts, error)
        except DeferredError as deferred:
            self._end(job, JobOutcome.DEFERRED, deferred)
            return
        if error.stops_wallet:
            self._end(job, JobOutcome.FAILED, error)
            self.stop(error)
        elif delay is None or self.stopped_by is not None:
            self._end(job, JobOutcome.FAILED, error)
        else:
            job.error = error
            self._begun.discard(job)
            self._schedule.retry(
                job,
                now=asyncio.get_running_loop().time(),
                delay=delay,
                is_last=job.attempts + 1 == self._policy.attempts,
            )
            self._wakeup.set()

    def _end(self, job: Job, outcome: JobOutcome, error: DeliveryError | None = None) -> None:
        self._begun.discard(job)
        job.finish(outcome, error)
        self.finished.append(job)
        # While there is more to do the caller is not woken for every single job.
        if not self._schedule.untried or len(self.finished) >= self._low_water:
            self._announce.set()


def _probes_first(jobs: Iterable[Job]) -> list[Job]:
    """Put a few jobs without earlier failures first: they tell whether the provider is up."""
    jobs = list(jobs)
    probes = [job for job in jobs if not job.row.met_an_outage][:LEAST]
    return probes + [job for job in jobs if job not in probes]
