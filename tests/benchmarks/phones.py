"""Phones by the thousand, as the web service meets them: requests, not telephones.

What each was answered is kept, to be looked at when the clock has stopped.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import aiohttp

from tests.benchmarks.measure import BenchmarkError

PATIENCE_SECONDS = 60
"""After which a phone gives a request up."""
OK, NO_CONTENT = 200, 204

P = TypeVar("P")


@dataclass(slots=True, kw_only=True)
class PhoneState:
    """One phone with one pass: what it knows, and what it was given."""

    root: str
    pass_type: str
    serial_number: str
    token: str
    device: str
    push_token: str
    tag: str
    last_modified: str
    archive: bytes = field(default=b"", repr=False)

    @property
    def list_url(self) -> str:
        path = f"{self.root}/v1/devices/{self.device}/registrations/{self.pass_type}"
        return f"{path}?passesUpdatedSince={self.tag}"

    @property
    def pass_url(self) -> str:
        return f"{self.root}/v1/passes/{self.pass_type}/{self.serial_number}"

    @property
    def headers(self) -> dict[str, str]:
        return {
            "Authorization": f"ApplePass {self.token}",
            "If-Modified-Since": self.last_modified,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request, and the only status that is a right answer to it."""

    url: str
    status: int
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How many were answered in what time, and how long single ones took."""

    answered: int
    seconds: float
    times: list[float]

    @property
    def a_second(self) -> float:
        return self.answered / self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """For each phone the time from its push until it had what it came for; and what went wrong."""

    times: list[float]
    errors: list[str]
    seconds: float


def ask_for(asks: Sequence[Ask], *, seconds: float, connections: int) -> Rate:
    """Ask over so many connections, again and again, for so long. Raises BenchmarkError."""
    return asyncio.run(_ask_for(asks, seconds, connections))


async def _ask_for(asks: Sequence[Ask], seconds: float, connections: int) -> Rate:
    times: list[float] = []
    endless = itertools.cycle(asks)
    started = time.perf_counter()
    until = started + seconds

    async def work(session: aiohttp.ClientSession) -> None:
        while (began := time.perf_counter()) < until:
            ask = next(endless)
            async with session.get(ask.url, headers=ask.headers) as answer:
                await answer.read()
            if answer.status != ask.status:
                raise BenchmarkError(f"{ask.status} was due, {answer.status} came: {ask.url}")
            times.append(time.perf_counter() - began)

    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(work(session))
    return Rate(answered=len(times), seconds=time.perf_counter() - started, times=times)


def update_all(
    phones: Sequence[PhoneState], pushed_after: Sequence[float]
) -> tuple[Storm, Sequence[PhoneState]]:
    """Let each phone list and fetch, so many seconds after the beginning.

    Returns the phones as well: the caller's, in another process, know nothing of it.
    """

    async def update(session: aiohttp.ClientSession, phone: PhoneState) -> None:
        async with session.get(phone.list_url) as listed:
            if listed.status != OK:
                raise BenchmarkError(f"a list was answered with {listed.status}")
            content = await listed.json()
        if content["serialNumbers"] != [phone.serial_number]:
            raise BenchmarkError(f"listed was {content}")
        async with session.get(phone.pass_url, headers=phone.headers) as fetched:
            if fetched.status != OK:
                raise BenchmarkError(f"a pass was answered with {fetched.status}")
            phone.archive = await fetched.read()
        phone.tag = content["lastUpdated"]
        phone.last_modified = fetched.headers["Last-Modified"]

    return asyncio.run(_storm(phones, update, pushed_after)), phones


def fetch_all(pairs: Sequence[tuple[str, str]], pushed_after: Sequence[float]) -> Storm:
    """Let as many phones make two requests each, of no consequence: the floor of a storm."""

    async def update(session: aiohttp.ClientSession, pair: tuple[str, str]) -> None:
        for url in pair:
            async with session.get(url) as answer:
                await answer.read()
            if answer.status not in (OK, NO_CONTENT):
                raise BenchmarkError(f"{url} was answered with {answer.status}")

    return asyncio.run(_storm(pairs, update, pushed_after))


async def _storm(
    phones: Sequence[P],
    update: Callable[[aiohttp.ClientSession, P], Awaitable[None]],
    pushed_after: Sequence[float],
) -> Storm:
    times: list[float] = []
    errors: list[str] = []
    started = time.perf_counter()

    async def wake(phone: P, after: float) -> None:
        await asyncio.sleep(started + after - time.perf_counter())
        # A phone has a connection of its own, and nobody else's.
        timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as session:
                await update(session, phone)
        except (BenchmarkError, aiohttp.ClientError, TimeoutError) as error:
            errors.append(f"{type(error).__name__}: {error}")
        else:
            times.append(time.perf_counter() - started - after)

    async with asyncio.TaskGroup() as group:
        for phone, after in zip(phones, pushed_after, strict=True):
            group.create_task(wake(phone, after))
    return Storm(times=times, errors=errors, seconds=time.perf_counter() - started)
