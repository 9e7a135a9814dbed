"""The peak memory of a run: it must not grow with the number of due cards.

Each size is a run of the command in a process of its own; the floor is what the process has taken
before its first query.
"""

from __future__ import annotations

import argparse

from tests.benchmarks.command import run_command
from tests.benchmarks.measure import BenchmarkError, Cost, show
from tests.benchmarks.world import World


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="+",
        default=[1_000, 10_000, 50_000],
        metavar="N",
        help="due cards (default 1,000, 10,000 and 50,000)",
    )


def run(options: argparse.Namespace) -> None:
    sizes = sorted(options.sizes)
    startups: dict[int, Cost] = {}
    runs: dict[int, Cost] = {}
    with World() as world:
        world.seed(sizes[-1])
        for size in sizes:
            world.sell(size)
            done = run_command("sync_wallet_passes", "--json", environment=world.environment)
            if (updated := done.report["wallets"]["google"]["updated"]) != size:
                raise BenchmarkError(f"{size} cards were due, the sync updated {updated}.")
            world.require_all_right()
            world.require_nothing_due()
            startups[size], runs[size] = done.startup, done.work
        facts = world.facts
    smallest = sizes[0]
    base = runs[smallest].peak_mb
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
            f"Growth and ratio are against {smallest:,} cards. All cards were right at the "
            "emulator after every run.",
            facts,
        ],
    )
