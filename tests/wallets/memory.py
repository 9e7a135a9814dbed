"""A wallet whose provider is a dictionary of this process: the example of docs/how-to/add-a-wallet.md."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from loyalty_wallet.cards import Card, Program
from loyalty_wallet.exceptions import (
    DeliveryTimeoutError,
    NetworkError,
    NotFoundError,
    RateLimitedError,
    RejectedError,
    UnauthorizedError,
    UnavailableError,
)
from loyalty_wallet.testing.contract import ProviderDouble, Trouble
from loyalty_wallet.wallets.base import (
    Outcome,
    PassUpdate,
    Payload,
    Permit,
    ProbeResult,
    Session,
    Wallet,
)


@dataclass
class Locker:
    """The provider: it has passes, and a list of what will go wrong with the next requests."""

    passes: dict[str, Payload] = field(default_factory=dict)
    requests: int = 0
    trouble: Exception | str | None = None
    times: int | None = None

    async def handle(self) -> None:
        """Take one request, or do with it what was ordered."""
        self.requests += 1
        if self.trouble is None:
            return
        trouble = self.trouble
        if self.times is not None:
            self.times -= 1
            self.trouble = trouble if self.times else None
        if isinstance(trouble, Exception):
            raise trouble
        await asyncio.sleep(60)


LOCKERS: dict[str, Locker] = {}


class MemoryWallet(Wallet):
    """Keeps passes in the locker of this name."""

    provider = "memory"
    count_names = ("created", "updated", "unchanged", "failed", "deferred", "attempts", "requests")

    def __init__(self, alias: str, *, locker: str, **limits: Any) -> None:
        super().__init__(alias, **limits)
        self.locker = locker

    def remote_id(self, suffix: str) -> str:
        return f"{self.locker}/{suffix}"

    def program_id(self, program_key: str) -> str:
        return f"{self.locker}/{program_key}"

    def render(self, card: Card, *, remote_id: str, program_id: str) -> Payload:
        return {
            "id": remote_id,
            "program": program_id,
            "number": card.card_number,
            "points": card.points_balance,
            "stamps": card.stamps,
            "active": card.is_active,
        }

    def render_program(self, program: Program, *, program_id: str) -> Payload:
        return {"id": program_id, "name": program.name}

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[MemorySession]:
        yield MemorySession(self)

    def check(self) -> list[str]:
        return [] if self.locker in LOCKERS else [f"There is no locker {self.locker!r}."]

    async def probe(self, program_ids: Collection[str]) -> ProbeResult:
        await self.send()
        return ProbeResult(is_reachable=True, is_authorised=True, publishing="not_needed")

    async def send(self) -> Locker:
        """Make one request within the timeout; return the locker that answers."""
        locker = LOCKERS[self.locker]
        try:
            async with asyncio.timeout(self.timeout_seconds):
                await locker.handle()
        except TimeoutError as error:
            raise DeliveryTimeoutError("The locker did not open in time.") from error
        return locker


class MemorySession(Session):
    """Puts passes into the locker."""

    def __init__(self, wallet: MemoryWallet) -> None:
        self._wallet = wallet

    def begin_run(self) -> None:
        """Nothing is remembered from run to run."""

    async def authenticate(self) -> None:
        """There is no key to read."""

    async def deliver(self, update: PassUpdate, permit: Permit) -> Outcome:
        await permit()
        locker = await self._wallet.send()
        is_new = update.remote_id not in locker.passes
        if is_new and not update.may_create:
            raise NotFoundError("The locker has no such pass.")
        locker.passes[update.remote_id] = update.payload
        return Outcome.CREATED if is_new else Outcome.UPDATED


class LockerDouble(ProviderDouble):
    """A locker of its own for each test."""

    backend = "tests.wallets.memory.MemoryWallet"

    def __init__(self, name: str) -> None:
        self.name = name
        self.locker = LOCKERS[name] = Locker()

    @property
    def options(self) -> dict[str, Any]:
        return {"locker": self.name, "requests_per_second": None}

    @property
    def bad_options(self) -> dict[str, Any]:
        return {"locker": "nowhere"}

    def balance(self, remote_id: str) -> int | None:
        found = self.locker.passes.get(remote_id)
        return None if found is None else int(found["points"])

    def count_requests(self) -> int:
        return self.locker.requests

    def suffer(self, trouble: Trouble, *, times: int | None) -> None:
        troubles: dict[Trouble, Exception | str] = {
            Trouble.UNAVAILABLE: UnavailableError("The locker is out of order."),
            Trouble.RATE_LIMITED: RateLimitedError("Too fast.", retry_after_seconds=0.05),
            Trouble.TIMEOUT: "hangs",
            Trouble.NETWORK: NetworkError("The locker is not there."),
            Trouble.REJECTED: RejectedError("The locker refuses the pass."),
            Trouble.UNAUTHORIZED: UnauthorizedError("The locker refuses the key."),
        }
        self.locker.trouble, self.locker.times = troubles[trouble], times

    def recover(self) -> None:
        self.locker.trouble = None
