"""Reading what a provider has, page by page, within the rate limit that all processes share."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from ...exceptions import DeliveryError, NotFoundError, RateLimitedError
from ...wallets.base import Session, Wallet
from ...wallets.remote import RemotePage
from ..pump.limits import RateLimiter
from ..pump.retry import RetryPolicy
from ..pump.threads import DeliveryThread

PAGES_AHEAD = 2
TICK_SECONDS = 0.5


class StoppedError(Exception):
    """Somebody asked for the end, or the time is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedPage:
    """A page, and when it was asked for, on this process's monotonic clock."""

    program_key: str
    page: RemotePage
    asked_at: float


class Listing:
    """The pages of some programs. The event loop reads a little ahead of who goes through them."""

    def __init__(
        self,
        wallet: Wallet,
        programs: Sequence[tuple[str, str]],
        *,
        policy: RetryPolicy,
        limiter: RateLimiter,
    ) -> None:
        self.requests = 0
        self._wallet = wallet
        self._programs = programs
        self._policy = policy
        self._limiter = limiter
        self._announce = threading.Event()
        self._ready: deque[ListedPage] = deque()
        self._room = asyncio.Semaphore(PAGES_AHEAD)

    def pages(self, thread: DeliveryThread, check_stop: Callable[[], None]) -> Iterator[ListedPage]:
        """Yield the pages. Raises DeliveryError when the provider cannot be read to the end.

        `check_stop` is called while it waits, and ends it by raising.
        """
        served = thread.serve(self)
        served.add_done_callback(lambda _: self._announce.set())
        try:
            while True:
                is_over = served.done()
                while self._ready:
                    yield self._ready.popleft()
                    thread.call(self._room.release)
                if is_over:
                    served.result()
                    return
                # Only this thread may ask the database.
                if slots := self._limiter.book_needed():
                    thread.call(self._limiter.grant, slots)
                check_stop()
                self._announce.wait(TICK_SECONDS)
                self._announce.clear()
        finally:
            served.cancel()

    async def run(self, connect: Callable[[Wallet], Awaitable[Session]]) -> None:
        """Read all programs, one page after the other: each names the one that follows."""
        session = await connect(self._wallet)
        await session.authenticate()
        for program_key, program_id in self._programs:
            token = ""
            while True:
                await self._room.acquire()
                asked_at = time.monotonic()
                page = await self._read(session, program_id, token)
                self._ready.append(
                    ListedPage(program_key=program_key, page=page, asked_at=asked_at)
                )
                self._announce.set()
                token = page.next_token
                if not token:
                    break

    async def _read(self, session: Session, program_id: str, token: str) -> RemotePage:
        attempts = 0
        while True:
            attempts += 1
            try:
                return await session.list_passes(program_id, token, self._permit)
            except NotFoundError:
                # The provider does not know the program: then it has none of its passes.
                return RemotePage(passes=())
            except DeliveryError as error:
                if isinstance(error, RateLimitedError) and error.retry_after_seconds:
                    self._limiter.pause(error.retry_after_seconds)
                delay = self._policy.delay_after(attempts, error)
                if delay is None:
                    raise
            await asyncio.sleep(delay)

    async def _permit(self) -> None:
        await self._limiter.wait(self._announce.set)
        self.requests += 1
