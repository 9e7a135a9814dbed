"""Four processes on one quota: never above it in any second, and none of it left unused.

The emulated Google allows everything and only notes when requests arrive. The floor of the time
is the number of requests by the rate. Slots are booked in PostgreSQL, then in Redis.
"""

from __future__ import annotations

import argparse
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack

from tests.benchmarks.crew import drain_together
from tests.benchmarks.databases import is_installed, private_server
from tests.benchmarks.measure import BenchmarkError, promise, show
from tests.benchmarks.world import ALIAS, World
from tests.servers import PostgresServer, RedisServer

LATENCY_SECONDS = 0.1
WINDOW_SECONDS = 1.0
BATCH_SIZE = 10
"""Small, so that no worker claims what the others could send."""
USED_SHARE = 0.99
"""Of the rate, that must be used throughout."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seconds", type=int, default=30, metavar="N", help="of work at the rate, default 30"
    )
    parser.add_argument("--rate", type=int, default=20, metavar="N", help="per second, default 20")
    parser.add_argument("--processes", type=int, default=4, metavar="N", help="default 4")


def run(options: argparse.Namespace) -> None:
    rate = options.rate
    rows, notes = [], []
    with private_server(PostgresServer), ExitStack() as stack:
        places = {"PostgreSQL": ""}
        if is_installed(RedisServer):
            places["Redis"] = stack.enter_context(RedisServer()).url
        else:
            notes.append("Redis is not installed.")
        for place, redis_url in places.items():
            with World(
                latency_seconds=LATENCY_SECONDS,
                requests_per_second=rate,
                conf={"BATCH_SIZE": BATCH_SIZE, "RATE_LIMIT_REDIS_URL": redis_url},
            ) as world:
                arrivals, shares = _drain(world, rate * options.seconds, options.processes)
                facts = world.facts
            sustained = (len(arrivals) - 1) / (arrivals[-1] - arrivals[0])
            busiest = busiest_window(arrivals)
            rows.append(
                (
                    place,
                    f"{sustained:.2f}",
                    f"{rate / sustained:.3f}",
                    f"{busiest}",
                    f"{min(shares)} to {max(shares)}",
                )
            )
            is_kept = busiest <= rate + 1 and sustained >= USED_SHARE * rate
            notes.append(
                f"{place}: promised at most {rate + 1} in any second and at least "
                f"{USED_SHARE * rate:.1f} a second throughout, {promise(is_kept)}."
            )
    show(
        f"{options.processes} processes share {rate} requests a second for {options.seconds} s",
        (
            "slots booked in",
            "requests/s",
            "ratio to the floor",
            "in the fullest second",
            "requests a process",
        ),
        rows,
        notes=[*notes, facts],
    )


def busiest_window(arrivals: Sequence[float]) -> int:
    """Return how many of the ascending moments lie in the fullest second, wherever it begins."""
    return max(
        bisect_left(arrivals, start + WINDOW_SECONDS) - first
        for first, start in enumerate(arrivals)
    )


def _drain(world: World, cards: int, processes: int) -> tuple[list[float], list[int]]:
    """Return when the requests arrived, and how many each process made."""
    world.google.set_latency(0)
    world.seed(cards)
    world.sell()
    world.google.set_latency(LATENCY_SECONDS)
    before = len(world.google.object_requests)
    done = drain_together(processes, world.environment)
    world.google.set_latency(0)
    requests = world.google.object_requests[before:]
    if done.report["wallets"][ALIAS]["updated"] != cards or len(requests) != cards:
        raise BenchmarkError(f"{cards} cards were to take a request each: {done.report['cards']}.")
    world.require_all_right()
    # Each process has an access token of its own.
    shares = Counter(request.token for request in requests)
    return sorted(request.arrived_at for request in requests), list(shares.values())
