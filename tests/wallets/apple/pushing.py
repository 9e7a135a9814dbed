"""Pushes as a run makes them: over one client, one after the other or many at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from loyalty_wallet.wallets.apple.apns import ApnsClient
from loyalty_wallet.wallets.apple.apns_answers import PushReply

TOKEN = "9f3c" * 16


@asynccontextmanager
async def opened(options: dict[str, Any], **changes: Any) -> AsyncIterator[ApnsClient]:
    options = {**options, **changes}
    client = ApnsClient(options.pop("url"), **options)
    try:
        yield client
    finally:
        await client.aclose()


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work, debug=False)


def push(options: dict[str, Any], *, times: int = 1, **changes: Any) -> list[PushReply]:
    """Push so many times, one after the other, over one client."""

    async def work() -> list[PushReply]:
        async with opened(options, **changes) as client:
            return [await client.push(TOKEN) for _ in range(times)]

    replies: list[PushReply] = run(work())
    return replies


def push_many(
    options: dict[str, Any], count: int, *, at_once: int = 64, **changes: Any
) -> list[PushReply | BaseException]:
    """Push to so many devices, so many at a time."""

    async def work() -> list[PushReply | BaseException]:
        gate = asyncio.Semaphore(at_once)

        async def one(client: ApnsClient, number: int) -> PushReply:
            async with gate:
                return await client.push(f"{number:064x}")

        async with opened(options, **changes) as client:
            pushes = [one(client, number) for number in range(count)]
            return await asyncio.gather(*pushes, return_exceptions=True)

    replies: list[PushReply | BaseException] = run(work())
    return replies
