"""Sends letters to the providers: a few at a time, in the loop of a `DeliveryThread`."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from ...exceptions import (
    BugError,
    DeliveryError,
    DeliveryTimeoutError,
    NetworkError,
    RateLimitedError,
    UnavailableError,
)
from ...wallets.base import MessageOutcome, PassMessage, Session, Wallet
from ..pump.limits import RateLimiter
from ..pump.retry import RetryPolicy
from ..pump.threads import DeliveryThread

TICK_SECONDS = 0.2
UNKNOWN = (UnavailableError, NetworkError, DeliveryTimeoutError)
"""Failures after which the message may be there all the same."""


@dataclass(slots=True, eq=False, kw_only=True)
class Letter:
    """A message to one pass, and what came of it."""

    pk: int
    card_key: str
    remote_id: str
    message: PassMessage
    may_be_there: bool
    """An earlier attempt, ours or a dead process's, may have put it there."""
    attempts: int = 0
    outcome: MessageOutcome | None = None
    error: DeliveryError | None = None


class Mailing:
    """Letters for the passes of one wallet."""

    def __init__(
        self,
        wallet: Wallet,
        letters: Sequence[Letter],
        *,
        policy: RetryPolicy,
        limiter: RateLimiter,
    ) -> None:
        self._wallet = wallet
        self._left = deque(letters)
        self._policy = policy
        self._limiter = limiter
        self._announce = threading.Event()
        self._stopped_by: DeliveryError | None = None

    def send(self, thread: DeliveryThread) -> None:
        """Make the attempts of all letters. Never raises for a provider's fault."""
        served = thread.serve(self)
        served.add_done_callback(lambda _: self._announce.set())
        try:
            while not served.done():
                # Only this thread may ask the database.
                if slots := self._limiter.book_needed():
                    thread.call(self._limiter.grant, slots)
                self._announce.wait(TICK_SECONDS)
                self._announce.clear()
            served.result()
        finally:
            served.cancel()

    async def run(self, connect: Callable[[Wallet], Awaitable[Session]]) -> None:
        session = await connect(self._wallet)
        async with asyncio.TaskGroup() as workers:
            for _ in range(self._wallet.concurrency):
                workers.create_task(self._work(session))

    async def _work(self, session: Session) -> None:
        while self._left:
            letter = self._left.popleft()
            try:
                await self._deliver(session, letter)
            except DeliveryError as error:
                letter.error = error
                if error.stops_wallet:
                    self._stopped_by = error
            except Exception as error:
                letter.error = BugError(f"{type(error).__name__}: {error}")

    async def _deliver(self, session: Session, letter: Letter) -> None:
        while True:
            if self._stopped_by is not None:
                raise self._stopped_by
            letter.attempts += 1
            try:
                letter.outcome = await session.add_message(
                    letter.remote_id,
                    letter.message,
                    self._permit,
                    may_be_there=letter.may_be_there,
                )
            except DeliveryError as error:
                if isinstance(error, RateLimitedError) and error.retry_after_seconds:
                    self._limiter.pause(error.retry_after_seconds)
                letter.may_be_there |= isinstance(error, UNKNOWN)
                delay = self._policy.delay_after(letter.attempts, error)
                if delay is None:
                    raise
                await asyncio.sleep(delay)
            else:
                return

    async def _permit(self) -> None:
        await self._limiter.wait(self._announce.set)
