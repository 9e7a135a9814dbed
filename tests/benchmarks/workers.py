"""One, two and four workers on one run: what more of them add, and where they add nothing.

Two cases on a private PostgreSQL. With latency, a worker waits most of its time and another one
waits beside it: the floor is one latency per card, divided by all connections. Without latency
the cores are the limit, and the emulator and the database need theirs too.
"""

from __future__ import annotations

import argparse
from math import ceil

from tests.benchmarks.crew import CrewRun, drain_together
from tests.benchmarks.databases import private_server
from tests.benchmarks.measure import BenchmarkError, cores, show
from tests.benchmarks.world import ALIAS, World
from tests.servers import PostgresServer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cards", type=int, default=10_000, metavar="N", help="default 10,000")
    parser.add_argument(
        "--workers",
        type=int,
        nargs="+",
        default=[1, 2, 4],
        metavar="N",
        help="default 1, 2 and 4",
    )
    parser.add_argument(
        "--latency",
        type=float,
        nargs="+",
        default=[0.1, 0],
        metavar="SECONDS",
        help="of the emulator, default 0.1 and 0",
    )


def run(options: argparse.Namespace) -> None:
    rows = []
    with private_server(PostgresServer), World() as world:
        world.seed(options.cards)
        concurrency = world.wallet.concurrency
        for latency in options.latency:
            first_seconds = 0.0
            for workers in options.workers:
                done, google_cpu = _drain(world, options.cards, workers, latency)
                first_seconds = first_seconds or done.seconds
                floor = ceil(options.cards / (workers * concurrency)) * latency
                rows.append(
                    (
                        f"{workers} at {latency * 1000:.0f} ms",
                        f"{options.cards / done.seconds:,.0f}",
                        f"{done.seconds:.2f}",
                        f"{first_seconds / done.seconds:.2f}",
                        f"{done.seconds / floor:.2f}" if floor else "-",
                        f"{1000 * done.cpu_seconds / options.cards:.3f}",
                        f"{google_cpu / done.seconds:.2f}",
                    )
                )
        facts = world.facts
    show(
        f"{options.cards:,} due cards, {concurrency} requests at a time for each worker",
        (
            "workers",
            "cards/s",
            "seconds",
            "ratio to the first",
            "ratio to the floor",
            "CPU ms/card, all",
            "emulator's cores",
        ),
        rows,
        notes=[
            f"{cores()} cores carry the workers, the database and the emulator, which is one "
            "process and never more than one core. All cards were right at the emulator after "
            "every run, with one request each.",
            facts,
        ],
    )


def _drain(world: World, cards: int, workers: int, latency: float) -> tuple[CrewRun, float]:
    """Return the run, and the CPU time that the emulator took meanwhile."""
    world.sell()
    world.google.set_latency(latency)
    google_cpu = world.google_cpu_seconds
    done = drain_together(workers, world.environment)
    google_cpu = world.google_cpu_seconds - google_cpu
    world.google.set_latency(0)
    counts = done.report["wallets"][ALIAS]
    if (counts["updated"], counts["requests"]) != (cards, cards):
        raise BenchmarkError(f"{cards} cards were to take one request each: {counts}.")
    world.require_all_right()
    world.require_nothing_due()
    return done, google_cpu
