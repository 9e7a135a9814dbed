"""Other ways to send the same requests: what the sync is measured against. No Django here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import aiohttp
import requests
from requests.adapters import HTTPAdapter
from yarl import URL

from tests.benchmarks.measure import BenchmarkError, Cost, measured

THREADS = 32


class Call(NamedTuple):
    """One request, ready to be sent."""

    method: str
    url: str
    body: bytes


def send_with_threads(calls: Sequence[Call], token: str, *, threads: int = THREADS) -> Cost:
    """Send the calls from threads over one `requests.Session` that keeps a connection for each."""

    def send(call: Call) -> None:
        answer = session.request(call.method, call.url, data=call.body, timeout=10)
        _require_success(answer.status_code, answer.text)

    with requests.Session() as session:
        # Looking for proxies and certificates in the environment costs a sixth of a request.
        session.trust_env = False
        session.mount("http://", HTTPAdapter(pool_maxsize=threads))
        session.headers.update(_headers(token))
        with ThreadPoolExecutor(threads) as pool, measured() as cost:
            for _ in pool.map(send, calls):
                pass
    return cost


def send_with_aiohttp(calls: Sequence[Call], token: str, *, concurrency: int = 16) -> Cost:
    """Send the calls from as many tasks with aiohttp and do nothing else: the client's floor."""
    return asyncio.run(_send_with_aiohttp(calls, token, concurrency))


async def _send_with_aiohttp(calls: Sequence[Call], token: str, concurrency: int) -> Cost:
    async def work(session: aiohttp.ClientSession, remaining: Iterator[Call]) -> None:
        for method, url, body in remaining:
            async with session.request(method, URL(url, encoded=True), data=body) as answer:
                text = await answer.read()
            _require_success(answer.status, text.decode())

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=concurrency), headers=_headers(token)
    ) as session:
        remaining = iter(calls)
        with measured() as cost:
            async with asyncio.TaskGroup() as workers:
                for _ in range(concurrency):
                    workers.create_task(work(session, remaining))
    return cost


def _headers(token: str) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json; charset=UTF-8",
    }


def _require_success(status: int, text: str) -> None:
    if status != 200:
        raise BenchmarkError(f"The emulator answered {status}: {text[:500]}")
