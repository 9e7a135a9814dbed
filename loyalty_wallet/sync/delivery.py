"""The delivering side of a run: an event loop in a thread of its own, one lane per wallet.

The database stays in the caller's thread. A lane gets jobs, makes the attempts under its wallet's
limits, and hands the jobs back when they have ended. A card that waits for its next attempt holds
no worker, connection or task, so that a failing card never slows another.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from functools import partial
from types import TracebackType
from typing import Self

from ..exceptions import (
    BugError,
    DeferredError,
    DeliveryError,
    LeaseLostError,
    RateLimitedError,
)
from ..wallets.base import Session, Wallet
from .jobs import Job, JobOutcome
from .limits import RateLimiter
from .retry import RetryPolicy

logger = logging.getLogger("loyalty_wallet.sync")

LEASE_MARGIN_SECONDS = 5
ABORT_SECONDS = 5
"""How long an abort waits for the loop; what is in flight then is found by its expired lease."""


class Lane:
    """One wallet's share of a run: its schedule, its workers, its limits.

    Due retries come first, then jobs in the order of their claim. Made and fed in the caller's
    thread; everything else happens in the loop's.
    """

    def __init__(
        self,
        wallet: Wallet,
        policy: RetryPolicy,
        *,
        announce: threading.Event,
        low_water: int,
    ) -> None:
        self.wallet = wallet
        self.stopped_by: DeliveryError | None = None
        self.has_authenticated = False
        self.low_water = low_water
        self.finished: deque[Job] = deque()
        self._policy = policy
        self._limiter = RateLimiter(wallet.requests_per_second)
        self._fresh: deque[Job] = deque()
        self._retries: list[tuple[float, int, Job]] = []
        self._sequence = itertools.count()
        self._is_accepting = True
        self._is_closing = False
        self._wakeup = asyncio.Event()
        self._begun: set[Job] = set()
        self._announce = announce

    @property
    def backlog(self) -> int:
        """How many jobs nobody has begun."""
        return len(self._fresh)

    @property
    def waiting(self) -> int:
        """How many jobs wait for their next attempt."""
        return len(self._retries)

    def add(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            if self._is_accepting:
                self._fresh.append(job)
            else:
                self._end(job, JobOutcome.RELEASED)
        self._wakeup.set()

    def stop_new(self) -> None:
        """Give back what nobody has begun; what was begun makes its attempts."""
        self._is_accepting = False
        while self._fresh:
            self._end(self._fresh.popleft(), JobOutcome.RELEASED)

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
        while self._retries:
            job = heapq.heappop(self._retries)[2]
            self._end(job, JobOutcome.FAILED)

    def close(self) -> None:
        self._is_closing = True
        self._wakeup.set()

    async def run(self) -> None:
        """Serve jobs until the lane is closed and empty."""
        try:
            async with self.wallet.connect() as session:
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
            if self._retries and self._retries[0][0] <= loop.time():
                return heapq.heappop(self._retries)[2]
            if self._fresh:
                if len(self._fresh) == self.low_water:
                    self._announce.set()
                return self._fresh.popleft()
            if self._is_closing:
                return None
            self._wakeup.clear()
            until_retry = self._retries[0][0] - loop.time() if self._retries else None
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
        except DeliveryError as error:
            self._after_failure(job, error)
        except Exception as error:
            logger.exception("Delivering the pass %s failed unexpectedly.", job.row.remote_id)
            self._end(job, JobOutcome.FAILED, BugError(f"{type(error).__name__}: {error}"))
        else:
            self._end(job, JobOutcome(outcome.value))

    async def _permit(self, job: Job) -> None:
        needed = self.wallet.timeout_seconds + LEASE_MARGIN_SECONDS
        job.lease.check(job.row.pk, needed_seconds=needed)
        await self._limiter.wait()
        job.lease.check(job.row.pk, needed_seconds=needed)
        job.requests += 1

    def _after_failure(self, job: Job, error: DeliveryError) -> None:
        if isinstance(error, RateLimitedError) and error.retry_after_seconds:
            self._limiter.pause(error.retry_after_seconds)
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
            due = asyncio.get_running_loop().time() + delay
            heapq.heappush(self._retries, (due, next(self._sequence), job))
            self._wakeup.set()

    def _end(self, job: Job, outcome: JobOutcome, error: DeliveryError | None = None) -> None:
        self._begun.discard(job)
        job.finish(outcome, error)
        self.finished.append(job)
        # While there is more to do the caller is not woken for every single job.
        if not self._fresh or len(self.finished) >= self.low_water:
            self._announce.set()


class DeliveryThread:
    """Runs lanes in an event loop of its own.

    A context manager: leaving it ends all lanes, after their work is done or, when an exception
    passes through, at once.
    """

    def __init__(self) -> None:
        self.announce = threading.Event()
        self._served: dict[Lane, Future[None]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="wallet-delivery", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is None:
            for lane in self._served:
                self.call(lane.close)
            wait(self._served.values())
        self.call(self._loop.stop)
        self._thread.join(timeout=None if exc_type is None else ABORT_SECONDS)

    def serve(self, lane: Lane) -> None:
        """Start the lane's workers."""
        self._served[lane] = asyncio.run_coroutine_threadsafe(lane.run(), self._loop)

    def call(self, function: Callable[..., object], *args: object) -> None:
        """Run a function of a lane's in the loop's thread, soon."""
        self._loop.call_soon_threadsafe(function, *args)

    def _serve(self) -> None:
        # The runner cancels and awaits whatever is left when the loop stops.
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.get_loop().run_forever()
