"""Pushes a second over one connection, and how many of 10,000 arrive, beside aioapns and httpx2.

Each contender runs in a process of its own against an emulated APNs in another one: with plain
sailing, with a GOAWAY every 1,000 pushes, with narrow and wide stream limits, and with two tokens
of five dead. A push counts when its answer came back and was the right one. Nobody may take longer
than the limit: some would hang.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from loyalty_wallet.emulator.apple import ApnsEmulator, Authority
from loyalty_wallet.wallets.apple.apns import ApnsClient
from loyalty_wallet.wallets.base import PushAnswer
from tests.benchmarks.measure import Cost, in_fresh_process, machine, measured, promise, show

PASS_TYPE, TEAM = "pass.com.example.loyalty", "ABCDE12345"
REQUIREMENTS = "tests/benchmarks/requirements-pushes.txt"
IN_FLIGHT = 200
TIMEOUT_SECONDS = 30
PROMISED_RATIO = 1.4

Push = Callable[[str], Awaitable[bool]]
"""Pushes to one token; says whether the device was told, or is known to be gone."""


@dataclass(frozen=True, slots=True)
class Weather:
    """What the emulated APNs does to all contenders alike."""

    name: str
    max_concurrent_streams: int = 1000
    goaway_every: int | None = None
    has_dead_tokens: bool = False


WEATHERS = (
    Weather("plain sailing"),
    Weather("GOAWAY every 1,000", goaway_every=1000),
    Weather("1 stream", max_concurrent_streams=1),
    Weather("100 streams", max_concurrent_streams=100),
    Weather("40 % dead tokens", has_dead_tokens=True),
)


@dataclass(frozen=True, slots=True)
class Race:
    """Where the APNs is, the folder with its certificates, and what is to be done in what time."""

    url: str
    folder: Path
    weather: Weather
    pushes: int
    limit: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many pushes were answered rightly, and what that took the contender."""

    answered: int
    cost: Cost


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pushes", type=int, default=10_000, metavar="N", help="default 10,000")
    parser.add_argument(
        "--limit", type=float, default=60, metavar="SECONDS", help="for each figure (default 60)"
    )


def run(options: argparse.Namespace) -> None:
    contenders = _contenders()
    rows = []
    plain: dict[str, float] = {}
    ours_lost = 0
    for weather in WEATHERS:
        for contender in contenders:
            with _apns(weather, options.pushes) as (url, folder):
                race = Race(url, folder, weather, options.pushes, options.limit)
                outcome = in_fresh_process(_measure, contender, race)
            rate = outcome.answered / outcome.cost.seconds
            if weather is WEATHERS[0]:
                plain[contender] = rate
            if contender == "ours":
                ours, ours_lost = rate, ours_lost + options.pushes - outcome.answered
            rows.append(
                (
                    f"{weather.name}, {contender}",
                    f"{rate:,.0f}",
                    f"{ours / rate:.2f}" if rate else "-",
                    f"{outcome.answered:,}",
                    f"{outcome.cost.seconds:.1f}",
                    f"{1000 * outcome.cost.cpu_seconds / max(outcome.answered, 1):.3f}",
                )
            )
    notes = [f"None of ours was lost: {promise(not ours_lost)}."]
    if "aioapns" in plain:
        ratio = plain["ours"] / plain["aioapns"]
        notes.append(
            f"{ratio:.2f} times aioapns in plain sailing (promised {PROMISED_RATIO}, "
            f"{promise(ratio >= PROMISED_RATIO)})."
        )
    if len(contenders) == 1:
        notes.append(f"No rivals: pip install -r {REQUIREMENTS}")
    show(
        f"{options.pushes:,} pushes over one connection, {IN_FLIGHT} in flight",
        ("", "a second", "ratio", "answered", "seconds", "CPU ms/push"),
        rows,
        notes=[*notes, _facts()],
    )


def _contenders() -> list[str]:
    return ["ours", *(name for name in ("aioapns", "httpx2") if find_spec(name))]


@contextmanager
def _apns(weather: Weather, pushes: int) -> Iterator[tuple[str, Path]]:
    """Run an APNs in a process of its own; yield its URL, and a folder with the certificates."""
    context = get_context("spawn")
    near, far = context.Pipe()
    with tempfile.TemporaryDirectory(prefix="loyalty-wallet-benchmark-") as name:
        process = context.Process(target=_serve, args=(far, Path(name), weather, pushes))
        process.start()
        try:
            yield near.recv(), Path(name)
        finally:
            near.send("stop")
            process.join()


def _serve(near: Connection[str, str], folder: Path, weather: Weather, pushes: int) -> None:
    authority = Authority(pass_type_identifier=PASS_TYPE, team_identifier=TEAM)
    authority.write(folder)
    with ApnsEmulator(
        authority,
        max_concurrent_streams=weather.max_concurrent_streams,
        goaway_every=weather.goaway_every,
        validates_headers=False,
    ) as apns:
        if weather.has_dead_tokens:
            for number in filter(_is_dead, range(pushes)):
                apns.fail(_token(number), "unregistered")
        near.send(apns.url)
        near.recv()


def _measure(contender: str, race: Race) -> Outcome:
    return asyncio.run(_push_all(contender, race))


async def _push_all(contender: str, race: Race) -> Outcome:
    answered = 0
    remaining = iter(range(race.pushes))
    connect = {"ours": _ours, "aioapns": _aioapns, "httpx2": _httpx2}[contender]

    async def work(push: Push) -> None:
        nonlocal answered
        for number in remaining:
            try:
                was_told = await push(_token(number))
            except Exception:  # noqa: S112, BLE001, RUF100 (whatever it is, the push is lost)
                continue
            is_dead = race.weather.has_dead_tokens and _is_dead(number)
            answered += was_told is not is_dead

    async with AsyncExitStack() as stack:
        push = await connect(race.url, race.folder, stack)
        with measured() as cost:
            workers = [asyncio.create_task(work(push)) for _ in range(IN_FLIGHT)]
            await asyncio.wait(workers, timeout=race.limit)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return Outcome(answered, cost)


async def _ours(url: str, folder: Path, stack: AsyncExitStack) -> Push:
    client = ApnsClient(
        url, topic=PASS_TYPE, context=lambda: _context(folder), timeout_seconds=TIMEOUT_SECONDS
    )
    stack.push_async_callback(client.aclose)

    async def push(token: str) -> bool:
        return (await client.push(token)).answer is PushAnswer.ACCEPTED

    return push


async def _aioapns(url: str, folder: Path, stack: AsyncExitStack) -> Push:
    import logging

    from aioapns import APNs, NotificationRequest
    from aioapns.connection import APNsBaseClientProtocol

    logging.getLogger("aioapns").setLevel(logging.CRITICAL)
    parts = urlsplit(url)
    APNsBaseClientProtocol.APNS_SERVER = parts.hostname
    # The port is that of the two subclasses.
    for protocol in APNsBaseClientProtocol.__subclasses__()[0].__subclasses__():
        protocol.APNS_SERVER, protocol.APNS_PORT = parts.hostname, parts.port
    client = APNs(
        client_cert=str(_identity(folder)),
        topic=PASS_TYPE,
        ssl_context=_context(folder),
        max_connections=1,
    )

    async def push(token: str) -> bool:
        request = NotificationRequest(device_token=token, message={})
        return bool((await client.send_notification(request)).is_successful)

    return push


async def _httpx2(url: str, folder: Path, stack: AsyncExitStack) -> Push:
    import httpx2

    client: Any = httpx2.AsyncClient(
        http2=True,
        verify=_context(folder),
        limits=httpx2.Limits(max_connections=1),
        timeout=httpx2.Timeout(TIMEOUT_SECONDS),
    )
    stack.push_async_callback(client.aclose)

    async def push(token: str) -> bool:
        answer = await client.post(
            f"{url}/3/device/{token}", content=b"{}", headers={"apns-topic": PASS_TYPE}
        )
        return bool(answer.status_code == 200)

    return push


def _context(folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "root.pem"))
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(_identity(folder))
    return context


def _identity(folder: Path) -> Path:
    """Return one file with the key, the certificate and its issuer."""
    path = folder / "identity.pem"
    if not path.exists():
        parts = [folder / f"{name}.pem" for name in ("private_key", "certificate", "wwdr")]
        path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def _token(number: int) -> str:
    return f"{number:064x}"


def _is_dead(number: int) -> bool:
    return number % 5 < 2


def _facts() -> str:
    import django

    return f"{machine()}, Django {django.__version__}."
