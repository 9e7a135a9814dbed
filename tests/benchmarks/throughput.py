"""A sync of due cards against 32 threads, and bare aiohttp, that only PATCH the same bodies.

Every object exists at Google already, so a card is one PATCH. The emulator answers at once and
nothing limits the rate: what is left is what the app itself costs. The contenders take turns, each
in a process of its own; each finds all balances changed, and all cards are compared with what the
emulator has before its figures count.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.benchmarks.command import run_command
from tests.benchmarks.measure import (
    BenchmarkError,
    Cost,
    in_fresh_process,
    median,
    promise,
    show,
)
from tests.benchmarks.rivals import THREADS, send_with_aiohttp, send_with_threads
from tests.benchmarks.world import World

PROMISED_RATIO = 1.5
PROMISED_CPU_MS = 0.35
COLUMNS = ("", "cards/s", "seconds", "CPU ms/card", "peak MB", "emulator's")


@dataclass(slots=True)
class Series:
    """The rounds of one contender, as medians per card."""

    cards: int
    costs: list[Cost] = field(default_factory=list)
    google_cpu: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return median(cost.seconds for cost in self.costs)

    @property
    def rate(self) -> float:
        return self.cards / self.seconds

    @property
    def cpu_ms(self) -> float:
        return 1000 * median(cost.cpu_seconds for cost in self.costs) / self.cards

    def row(self, name: str) -> tuple[str, ...]:
        slowest = max(cost.seconds for cost in self.costs)
        fastest = min(cost.seconds for cost in self.costs)
        peak = median(cost.peak_mb for cost in self.costs)
        google = 1000 * median(self.google_cpu) / self.cards
        return (
            name,
            f"{self.rate:,.0f}",
            f"{self.seconds:.2f} ({fastest:.2f} to {slowest:.2f})",
            f"{self.cpu_ms:.3f}",
            f"{peak:.0f}",
            f"{google:.3f}",
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cards", type=int, default=10_000, metavar="N", help="default 10,000")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default 3")


def run(options: argparse.Namespace) -> None:
    cards = options.cards
    whole, work, startup = Series(cards), Series(cards), Series(cards)
    threads, floor = Series(cards), Series(cards)
    with World() as world:
        world.seed(cards)
        concurrency = world.wallet.concurrency
        for _ in range(options.rounds):
            google_cpu = _sync(world, cards, whole, work, startup)
            for series in (whole, work, startup):
                series.google_cpu.append(google_cpu)
            _rival(world, threads, lambda: _threads(world))
            _rival(world, floor, lambda: _aiohttp(world, concurrency))
        body_size = len(world.patches()[0].body)
        facts = world.facts
    ratio, cpu_ms = work.rate / threads.rate, work.cpu_ms
    show(
        f"{cards:,} due cards, a PATCH of {body_size} bytes each, medians of {options.rounds}",
        COLUMNS,
        [
            work.row("sync_wallet_passes"),
            whole.row("the same, with start-up"),
            threads.row(f"{THREADS} requests.Session threads"),
            floor.row(f"aiohttp, {concurrency} tasks: the floor"),
        ],
        notes=[
            f"Ratio to the threads: {ratio:.2f} in cards per second, "
            f"{whole.rate / threads.rate:.2f} with start-up "
            f"(promised: {PROMISED_RATIO}, {promise(ratio >= PROMISED_RATIO)}).",
            f"CPU a card: {cpu_ms:.3f} ms, {whole.cpu_ms:.3f} with start-up "
            f"(promised: at most {PROMISED_CPU_MS} ms, {promise(cpu_ms <= PROMISED_CPU_MS)}).",
            f"Ratio to the floor: {cpu_ms / floor.cpu_ms:.2f} times its CPU, "
            f"{work.seconds / floor.seconds:.2f} times its time.",
            f"Django's start-up: {startup.seconds:.2f} s. All {cards:,} cards were right at the "
            "emulator after every contender.",
            facts,
        ],
    )


def _sync(world: World, cards: int, whole: Series, work: Series, startup: Series) -> float:
    world.sell()
    requests, google_cpu = world.requests_so_far(), world.google_cpu_seconds
    done = run_command("sync_wallet_passes", "--json", environment=world.environment)
    google_cpu = world.google_cpu_seconds - google_cpu
    counts = done.report["wallets"]["google"]
    if counts["updated"] != cards:
        raise BenchmarkError(f"{cards} cards were due, the sync reports {counts}.")
    # One more for the access token.
    if (made := world.requests_so_far() - requests) > cards + 1:
        raise BenchmarkError(f"The sync made {made} requests for {cards} cards.")
    world.require_all_right()
    world.require_nothing_due()
    whole.costs.append(done.whole)
    work.costs.append(done.work)
    startup.costs.append(done.startup)
    return google_cpu


def _rival(world: World, series: Series, send: Callable[[], Cost]) -> None:
    world.sell()
    google_cpu = world.google_cpu_seconds
    series.costs.append(send())
    series.google_cpu.append(world.google_cpu_seconds - google_cpu)
    world.require_all_right()


def _threads(world: World) -> Cost:
    return in_fresh_process(send_with_threads, world.patches(), world.token)


def _aiohttp(world: World, concurrency: int) -> Cost:
    return in_fresh_process(
        send_with_aiohttp, world.patches(), world.token, concurrency=concurrency
    )
