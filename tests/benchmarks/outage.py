"""A provider that is down: how soon a run sees it, and how few requests it makes to find out.

Every card is due. In one run the provider answers 503 to everything, in the other it never
answers. The floor is one card with all its attempts: sooner nobody can say that it failed. Without
a breaker each of the cards would make all of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from math import ceil

from loyalty_wallet.models import WalletPass
from tests.benchmarks.command import CommandRun, run_command
from tests.benchmarks.measure import BenchmarkError, promise, show
from tests.benchmarks.world import ALIAS, World

LATENCY_SECONDS = 0.1
MOST_REQUESTS = 200
MOST_SECONDS = {"503": 40, "hangs": 120}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cards", type=int, default=10_000, metavar="N", help="default 10,000")
    parser.add_argument(
        "--rate", type=float, default=20, metavar="N", help="requests per second, default 20"
    )
    parser.add_argument(
        "--timeout", type=float, default=10, metavar="SECONDS", help="of a request, default 10"
    )
    parser.add_argument(
        "--delays",
        type=float,
        nargs="+",
        default=[1, 4, 16],
        metavar="SECONDS",
        help="waits between attempts (default 1, 4 and 16)",
    )


def run(options: argparse.Namespace) -> None:
    with World(
        requests_per_second=options.rate,
        options={"timeout_seconds": options.timeout},
        conf={"RETRY_DELAYS": options.delays},
    ) as world:
        world.seed(options.cards)
        world.sell()
        concurrency = world.wallet.concurrency
        world.google.set_latency(LATENCY_SECONDS)
        runs = {
            "503": _sync_while(world, lambda: world.google.fail(), options.cards),
            "hangs": _sync_while(world, lambda: world.google.misbehave("hang"), options.cards),
        }
        world.google.set_latency(0)
        facts = world.facts
    attempts = len(options.delays) + 1
    answer_seconds = {"503": LATENCY_SECONDS, "hangs": options.timeout}
    names = {"503": "every answer is a 503", "hangs": "every request hangs"}
    rows, notes = [], []
    for name, done in runs.items():
        floor = sum(options.delays) + attempts * answer_seconds[name]
        in_turn = ceil(options.cards / concurrency) * attempts * answer_seconds[name]
        counts = done.report["wallets"][ALIAS]
        seconds, requests = done.work.seconds, counts["requests"]
        rows.append(
            (
                names[name],
                f"{seconds:.1f}",
                f"{floor:.1f}",
                f"{seconds / floor:.2f}",
                f"{max(in_turn, options.cards * attempts / options.rate):,.0f}",
                f"{requests:,}",
                f"{counts['failed']:,}",
                f"{counts['deferred']:,}",
            )
        )
        is_kept = seconds < MOST_SECONDS[name] and requests <= MOST_REQUESTS
        notes.append(
            f"{names[name].capitalize()}: promised under {MOST_SECONDS[name]} s and at most "
            f"{MOST_REQUESTS} requests, {promise(is_kept)}."
        )
    show(
        f"{options.cards:,} due cards while the provider is down, at most {options.rate:g} requests a second",
        (
            "",
            "seconds",
            "the floor",
            "ratio",
            "without a breaker",
            "requests",
            "failed",
            "deferred",
        ),
        rows,
        notes=[*notes, "All cards were still due after each run.", facts],
    )


def _sync_while(world: World, break_google: Callable[[], object], cards: int) -> CommandRun:
    break_google()
    done = run_command(
        "sync_wallet_passes",
        "--json",
        "--no-progress",
        "--no-fail-on-error",
        environment=world.environment,
    )
    world.google.heal()
    counts = done.report["cards"]
    if counts["failed"] + counts["deferred"] != cards or counts["synced"]:
        raise BenchmarkError(f"{cards} cards were to fail or to be deferred: {counts}.")
    if (due := WalletPass.objects.due().unleased().count()) != cards:
        raise BenchmarkError(f"{cards} passes were to stay due, {due} are.")
    return done
