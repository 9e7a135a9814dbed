"""A run in which some cards always fail and some fail once: how near it comes to what is possible.

Every request takes the latency. 5 % of the cards get a 503 at each of their attempts, 10 % at
their first. The floor is the larger of two times that no scheduler can beat: all requests through
so many connections, and one card with all its attempts and waits. The first run knows nothing of
the cards, the second one which of them failed last time. Who knows nothing has a floor of its own:
the card that is met last may be one that always fails. Beside them, bare aiohttp sends as many
requests without waits or faults: what the client and this machine take of the time.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle, islice
from math import ceil

from loyalty_wallet.models import WalletPass
from tests.benchmarks.command import CONF_VARIABLE, CommandRun, run_command
from tests.benchmarks.measure import BenchmarkError, Cost, in_fresh_process, promise, show
from tests.benchmarks.rivals import send_with_aiohttp
from tests.benchmarks.world import ALIAS, World

PERIOD = 20
ALWAYS = (13,)
ONCE = (3, 17)
"""Places among each 20 cards of the ones that fail always, 5 %, and once, 10 %."""
PROMISED_KNOWING = 1.05
PROMISED_BLIND = 1.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The run as arithmetic sees it; all times in seconds."""

    cards: int
    concurrency: int
    latency: float
    delays: tuple[float, ...]

    @property
    def failing(self) -> int:
        return self._count(ALWAYS)

    @property
    def requests(self) -> int:
        return self.cards + self._count(ONCE) + self.failing * len(self.delays)

    @property
    def ladder(self) -> float:
        """What a card takes that needs all attempts."""
        return sum(self.delays) + (len(self.delays) + 1) * self.latency

    @property
    def floor(self) -> float:
        return max(self.bare_floor, self.ladder)

    @property
    def bare_floor(self) -> float:
        """All requests through so many connections."""
        return self.requests * self.latency / self.concurrency

    @property
    def blind_floor(self) -> float:
        """The floor of a run in which any card may turn out to be one that always fails."""
        met_last = (ceil(self.cards / self.concurrency) - 1) * self.latency
        return max(self.floor, met_last + self.ladder)

    def _count(self, places: tuple[int, ...]) -> int:
        return sum(number % PERIOD in places for number in range(self.cards))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cards",
        type=int,
        nargs="+",
        default=[1_000, 10_000],
        metavar="N",
        help="due cards (default 1,000 and 10,000)",
    )
    parser.add_argument("--concurrency", type=int, default=32, metavar="N", help="default 32")
    parser.add_argument("--latency", type=float, default=0.1, metavar="SECONDS", help="default 0.1")
    parser.add_argument(
        "--delays",
        type=float,
        nargs="+",
        default=[1, 4, 16],
        metavar="SECONDS",
        help="waits between attempts (default 1, 4 and 16)",
    )


def run(options: argparse.Namespace) -> None:
    rows, notes = [], []
    for cards in options.cards:
        shape = Shape(
            cards=cards,
            concurrency=options.concurrency,
            latency=options.latency,
            delays=tuple(options.delays),
        )
        with World(
            options={"concurrency": shape.concurrency},
            conf={"RETRY_DELAYS": shape.delays},
        ) as world:
            world.seed(cards)
            blind = _sync(world, shape)
            half_knowing = _sync(world, shape)
            _let_all_fail_that_will(world)
            knowing = _sync(world, shape)
            bare = _send_bare(world, shape)
            facts = world.facts
        blind_ratio = blind.work.seconds / shape.blind_floor
        ratio = knowing.work.seconds / shape.floor
        rows += [
            _row(f"{cards:,}, nothing known", blind.work, shape, shape.blind_floor),
            _row(f"{cards:,}, always failing known", half_knowing.work, shape, shape.floor),
            _row(f"{cards:,}, all failing known", knowing.work, shape, shape.floor),
            _row(f"{cards:,}, bare aiohttp", bare, shape, shape.bare_floor),
        ]
        notes.append(
            f"{cards:,} cards: {blind_ratio:.3f} times the floor of who knows nothing (promised: "
            f"{PROMISED_BLIND}, {promise(blind_ratio <= PROMISED_BLIND)}), then {ratio:.3f} times "
            f"the floor (promised: {PROMISED_KNOWING}, {promise(ratio <= PROMISED_KNOWING)})."
        )
    show(
        f"5 % always fail, 10 % fail once; {options.latency * 1000:.0f} ms a request, "
        f"{options.concurrency} at a time",
        (
            "due cards",
            "seconds",
            "its floor",
            "ratio",
            "ratio, all known",
            "requests",
            "CPU ms/card",
        ),
        rows,
        notes=[*notes, facts],
    )


def _row(name: str, cost: Cost, shape: Shape, floor: float) -> tuple[str, ...]:
    return (
        name,
        f"{cost.seconds:.2f}",
        f"{floor:.2f}",
        f"{cost.seconds / floor:.3f}",
        f"{cost.seconds / shape.floor:.3f}",
        f"{shape.requests:,}",
        f"{1000 * cost.cpu_seconds / shape.cards:.3f}",
    )


def _send_bare(world: World, shape: Shape) -> Cost:
    calls = list(islice(cycle(world.patches()), shape.requests))
    world.google.set_latency(shape.latency)
    return in_fresh_process(send_with_aiohttp, calls, world.token, concurrency=shape.concurrency)


def _sync(world: World, shape: Shape) -> CommandRun:
    """Let all cards change and run into the same faults as ever; require what must come of it."""
    world.sell()
    for always, remote_id in _failing(world):
        world.google.fail(object_id=remote_id, times=None if always else 1)
    world.google.set_latency(shape.latency)
    done = _run(world.environment)
    world.google.set_latency(0)
    world.google.heal()
    cards, requests = done.report["cards"], done.report["wallets"][ALIAS]["requests"]
    if cards["failed"] != shape.failing or requests != shape.requests:
        raise BenchmarkError(
            f"{shape.failing} of {shape.cards} cards were to fail with {shape.requests} requests "
            f"in all: there were {requests}, and {cards}."
        )
    return done


def _let_all_fail_that_will(world: World) -> None:
    """An hour in which each of them fails for good, also the ones that are to fail once."""
    world.sell()
    for _, remote_id in _failing(world):
        world.google.fail(object_id=remote_id)
    conf = {**json.loads(world.environment[CONF_VARIABLE]), "RETRY_DELAYS": []}
    _run({**world.environment, CONF_VARIABLE: json.dumps(conf)})
    world.google.heal()


def _failing(world: World) -> Iterator[tuple[bool, str]]:
    """Yield the objects that fail, and whether they always do."""
    remote_ids = WalletPass.objects.order_by("pk").values_list("remote_id", flat=True)
    for number, remote_id in enumerate(remote_ids):
        if number % PERIOD in ALWAYS + ONCE:
            yield number % PERIOD in ALWAYS, remote_id


def _run(environment: Mapping[str, str]) -> CommandRun:
    return run_command(
        "sync_wallet_passes",
        "--json",
        "--no-progress",
        "--no-fail-on-error",
        environment=environment,
    )
