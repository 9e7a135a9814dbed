"""Claiming due passes on SQLite, PostgreSQL and MariaDB: passes per second, one worker.

The floor is an UPDATE of the lease alone for as many rows, their keys known beforehand. What a
claim adds to it: finding what is due, judging leases, counting takeovers, reading the rows.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

import django
from django.db import connection
from django.db.models import Q
from django.test import override_settings
from django.utils import timezone

from loyalty_wallet.models import DatabaseNow, WalletPass
from loyalty_wallet.sync.leases import claim
from tests.benchmarks.databases import (
    database_version,
    is_installed,
    private_server,
    scratch_database,
    tidy,
)
from tests.benchmarks.measure import BenchmarkError, machine, median, show
from tests.servers import MariaDBServer, PostgresServer

WALLET = "google"
BATCH_SIZE = 500
PROVIDER_RATE = 20
"""Requests that Google allows per second: claiming has to be far above it."""


class Figures(NamedTuple):
    """Passes per second."""

    database: str
    strategy: str
    claimed: float
    floor: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--passes", type=int, default=20_000, metavar="N", help="default 20,000")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default 3")
    parser.add_argument(
        "--only-given",
        action="store_true",
        help="only the database of --database; otherwise also a private PostgreSQL and MariaDB",
    )


def run(options: argparse.Namespace) -> None:
    kinds = () if options.only_given else (PostgresServer, MariaDBServer)
    missing = [kind.name for kind in kinds if not is_installed(kind)]
    figures = _measure(options.passes, options.rounds)
    for kind in kinds:
        if kind.name not in missing:
            with private_server(kind):
                figures += _measure(options.passes, options.rounds)
    slowest = min(row.claimed for row in figures)
    show(
        f"{options.passes:,} due passes, {BATCH_SIZE} a claim, medians of {options.rounds}",
        ("", "claims", "passes/s", "bare UPDATE/s (the floor)", "ratio"),
        [
            (
                row.database,
                row.strategy,
                f"{row.claimed:,.0f}",
                f"{row.floor:,.0f}",
                f"{row.floor / row.claimed:.2f}",
            )
            for row in figures
        ],
        notes=[
            f"The slowest claims {slowest / PROVIDER_RATE:,.0f} times what Google allows.",
            *(f"{name} is not installed." for name in missing),
            f"{machine()}, Django {django.get_version()}",
        ],
    )


def _measure(passes: int, rounds: int) -> list[Figures]:
    figures = []
    can_skip = connection.features.has_select_for_update_skip_locked
    with scratch_database():
        pks = _make_due(passes)
        for strategy in ("skip_locked", "cas") if can_skip else ("cas",):
            claimed, floor = [], []
            with override_settings(LOYALTY_WALLET={"CLAIM_STRATEGY": strategy}):
                for _ in range(rounds):
                    claimed.append(_seconds(lambda: _claim_all(passes)))
                    _release_all()
                    floor.append(_seconds(lambda: _lease_bare(pks)))
                    _release_all()
            figures.append(
                Figures(
                    database_version(),
                    strategy,
                    passes / median(claimed),
                    passes / median(floor),
                )
            )
    return figures


def _make_due(passes: int) -> list[int]:
    WalletPass.objects.bulk_create(
        (
            WalletPass(
                card_key=str(number),
                wallet=WALLET,
                remote_id=f"1.{number}",
                card_label=f"CARD-{number:07}",
                due_at=timezone.now() - timedelta(microseconds=number),
            )
            for number in range(passes)
        ),
        batch_size=1000,
    )
    tidy(WalletPass)
    return list(WalletPass.objects.order_by("due_at").values_list("pk", flat=True))


def _claim_all(passes: int) -> None:
    claimed = 0
    while rows := claim(Q(wallet=WALLET), limit=BATCH_SIZE)[1]:
        claimed += len(rows)
    if claimed != passes:
        raise BenchmarkError(f"{passes} passes were due, {claimed} were claimed.")


def _lease_bare(pks: list[int]) -> None:
    for first in range(0, len(pks), BATCH_SIZE):
        WalletPass.objects.filter(pk__in=pks[first : first + BATCH_SIZE]).update(
            lease_token="a" * 32, lease_until=DatabaseNow() + timedelta(seconds=120)
        )


def _release_all() -> None:
    WalletPass.objects.update(lease_token="", lease_until=None, takeovers=0)
    tidy(WalletPass)


def _seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
