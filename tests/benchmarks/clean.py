"""A run with nothing to do: time and queries must not grow with the clean passes.

The floor is the same command over an empty table. No transaction lies in the window, and Google
must not hear of the run.
"""

from __future__ import annotations

import argparse

from loyalty_wallet.models import LoyaltyCard
from loyalty_wallet.sync import touch
from tests.benchmarks.command import CommandRun, run_command
from tests.benchmarks.measure import BenchmarkError, median, promise, show
from tests.benchmarks.world import World

PROMISED_SECONDS = 2.0
CHECKED_CARDS = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[5_000, 50_000], metavar="N", help="clean passes"
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default 3")


def run(options: argparse.Namespace) -> None:
    sizes = [0, *sorted(options.sizes)]
    measured: dict[int, list[CommandRun]] = {}
    with World() as world:
        _sync(world)  # the first run of all writes down how far it has looked
        for size in sizes:
            world.seed(size, at_google=False)
            measured[size] = [_sync(world) for _ in range(options.rounds)]
        _require_passes_are_right(world)
        if requests := world.requests_so_far():
            raise BenchmarkError(f"Google got {requests} requests about clean passes.")
        facts = world.facts
    seconds = {size: median(done.work.seconds for done in measured[size]) for size in sizes}
    whole = {size: median(done.whole.seconds for done in measured[size]) for size in sizes}
    queries = {size: {done.queries for done in measured[size]} for size in sizes}
    largest = sizes[-1]
    has_equal_queries = len(set.union(*queries.values())) == 1
    show(
        f"A run over clean passes, medians of {options.rounds}",
        (
            "clean passes",
            "seconds",
            "with start-up",
            "ratio to the floor",
            "queries",
            "CPU s",
            "peak MB",
        ),
        [
            (
                f"{size:,}" if size else "none (the floor)",
                f"{seconds[size]:.3f}",
                f"{whole[size]:.2f}",
                f"{seconds[size] / seconds[0]:.2f}",
                " or ".join(str(count) for count in sorted(queries[size])),
                f"{median(done.work.cpu_seconds for done in measured[size]):.3f}",
                f"{median(done.work.peak_mb for done in measured[size]):.0f}",
            )
            for size in sizes
        ],
        notes=[
            f"A run over {largest:,} clean passes takes {seconds[largest]:.3f} s (promised: under "
            f"{PROMISED_SECONDS:.0f} s, {promise(seconds[largest] < PROMISED_SECONDS)}); "
            f"{whole[largest]:.2f} s with Django's start-up.",
            f"Constant number of queries: {promise(has_equal_queries)}. Google got no request.",
            facts,
        ],
    )


def _sync(world: World) -> CommandRun:
    done = run_command("sync_wallet_passes", "--json", environment=world.environment)
    if selected := done.report["cards"]["selected"]:
        raise BenchmarkError(f"{selected} cards were selected though nothing was due.")
    return done


def _require_passes_are_right(world: World) -> None:
    """Touch some: the sync itself must find that they are as delivered."""
    pks = LoyaltyCard.objects.order_by("-pk").values_list("pk", flat=True)[:CHECKED_CARDS]
    keys = [str(pk) for pk in pks]
    touch(keys)
    done = run_command("sync_wallet_passes", "--json", environment=world.environment)
    if done.report["cards"]["unchanged"] != len(keys):
        raise BenchmarkError(f"The passes were not clean: {done.report['cards']}.")
    world.require_nothing_due()
