"""An emulated Google and wallets for it, driven without database, run or retry."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.wallets.base import (
    Outcome,
    PassUpdate,
    Permit,
    ProgramUpdate,
    Session,
    canonical_json,
)
from loyalty_wallet.wallets.google import GoogleWallet
from tests.wallets.cards import CARD, PROGRAM


async def permit() -> None:
    """Let every request pass."""


@dataclass(kw_only=True)
class Bench:
    """One wallet, and the updates that it is asked to deliver."""

    google: GoogleEmulator
    wallet: GoogleWallet
    loop: asyncio.Runner = field(repr=False)
    seen: int = 0

    def update(self, suffix: str = "card-1", **changes: Any) -> PassUpdate:
        """Return an update of the full card, by default of a class that nobody has sent yet."""
        remote_id = self.wallet.remote_id(suffix)
        program_id = self.wallet.program_id(PROGRAM.key)
        payload = self.wallet.render(CARD, remote_id=remote_id, program_id=program_id)
        known = changes.pop("is_known", False)
        program = ProgramUpdate(
            remote_id=program_id,
            payload=changes.pop("program", None)
            or self.wallet.render_program(PROGRAM, program_id=program_id),
            is_known=known,
            is_changed=changes.pop("is_program_changed", not known),
        )
        payload = {**payload, **changes.pop("payload", {})}
        body = canonical_json(payload)
        return PassUpdate(
            remote_id=remote_id, payload=payload, body=body, program=program, **changes
        )

    def updates(self, count: int, **changes: Any) -> list[PassUpdate]:
        return [self.update(f"card-{number}", **changes) for number in range(count)]

    def deliver(
        self, *updates: PassUpdate, permit: Permit = permit
    ) -> list[Outcome | BaseException]:
        """Deliver these updates at the same time in a session of their own."""

        async def run() -> list[Outcome | BaseException]:
            async with self.wallet.connect() as session:
                return await together(session, *updates, permit=permit)

        return self.loop.run(run())

    def deliver_one(self, update: PassUpdate, *, permit: Permit = permit) -> Outcome:
        """Deliver one update; raises what goes wrong."""
        [outcome] = self.deliver(update, permit=permit)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def set_up(self, count: int = 1) -> None:
        """Have Google know the class and so many objects, and forget how."""
        assert set(self.deliver(*self.updates(count))) == {Outcome.CREATED}
        self.forget_requests()

    def forget_requests(self) -> None:
        self.seen = len(self.google.requests)

    @property
    def sent(self) -> list[str]:
        """Method and kind of the API requests since `forget_requests`, in order."""
        return [
            f"{entry.method} {entry.kind}"
            for entry in self.google.requests[self.seen :]
            if entry.kind != "token"
        ]


async def together(
    session: Session, *updates: PassUpdate, permit: Permit = permit
) -> list[Outcome | BaseException]:
    """Deliver these updates at the same time."""
    deliveries = (session.deliver(update, permit) for update in updates)
    return await asyncio.gather(*deliveries, return_exceptions=True)


@pytest.fixture
def google() -> Iterator[GoogleEmulator]:
    with GoogleEmulator(requests_per_second=None) as emulator:
        yield emulator


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def bench(google: GoogleEmulator, runner: asyncio.Runner) -> Bench:
    wallet = GoogleWallet("google", **google.wallet_options, timeout_seconds=5)
    return Bench(google=google, wallet=wallet, loop=runner)


@pytest.fixture
def hasty(google: GoogleEmulator, runner: asyncio.Runner) -> Bench:
    """A wallet that gives an attempt half a second; it has its token already."""
    wallet = GoogleWallet("google", **google.wallet_options, timeout_seconds=0.5)
    wallet.account.refresh(refused=None)
    return Bench(google=google, wallet=wallet, loop=runner)
