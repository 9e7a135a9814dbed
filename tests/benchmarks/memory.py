"""The peak memory of a run: it must not grow with the number of due cards.

Each size is a run of the command in a process of its own, after one small run that the growth is
counted from; the floor is what a process has taken before its first query.
"""

from __future__ import annotations

import argparse

from tests.benchmarks.command import CommandRun, run_command
from tests.benchmarks.measure import BenchmarkError, Cost, promise, show
from tests.benchmarks.world import World

PROMISED_MB = 60
COMPARED_CARDS = 50_000
"""Up to so many cards all are compared with the emulator's; the copy of more takes gigabytes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cards",
        type=int,
        nargs="+",
        default=[5_000, 50_000],
        metavar="N",
        help="due cards (default 5,000 and 50,000; 500,000 take half an hour)",
    )
    parser.add_argument(
        "--small", type=int, default=500, metavar="N", help="cards of the small run, default 500"
    )


def run(options: argparse.Namespace) -> None:
    sizes = [options.small, *sorted(options.cards)]
    startups: dict[int, Cost] = {}
    runs: dict[int, Cost] = {}
    with World() as world:
        world.seed(sizes[-1])
        for size in sizes:
            done = _sync(world, size)
            startups[size], runs[size] = done.startup, done.work
        facts = world.facts
    base = runs[options.small].peak_mb
    growth = runs[sizes[-1]].peak_mb - base
    show(
        "Peak memory of a run",
        ("due cards", "peak MB", "start-up MB (the floor)", "growth MB", "ratio", "seconds"),
        [
            (
                f"{size:,}",
                f"{cost.peak_mb:.1f}",
                f"{startups[size].peak_mb:.1f}",
                f"{cost.peak_mb - base:+.1f}",
                f"{cost.peak_mb / base:.2f}",
                f"{cost.seconds:.2f}",
            )
            for size, cost in runs.items()
        ],
        notes=[
            f"{sizes[-1]:,} cards take {growth:.1f} MB more than {options.small:,} (promised: at "
            f"most {PROMISED_MB} MB, {promise(growth <= PROMISED_MB)}).",
            facts,
        ],
    )


def _sync(world: World, cards: int) -> CommandRun:
    world.sell(cards)
    done = run_command(
        "sync_wallet_passes", "--json", "--no-progress", environment=world.environment
    )
    if (updated := done.report["wallets"]["google"]["updated"]) != cards:
        raise BenchmarkError(f"{cards} cards were due, the sync updated {updated}.")
    if cards <= COMPARED_CARDS:
        world.require_all_right()
    world.require_nothing_due()
    return done
