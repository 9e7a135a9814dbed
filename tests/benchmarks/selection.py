"""Finding what is due among millions of passes on PostgreSQL: by the partial index alone.

What is timed are the very statements of a claim. The floor reads as many keys in the order of the
table, locking none; the rival is the same statement with indexes forbidden.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import django
from django.db import connection, transaction
from django.db.models import Q

from loyalty_wallet.models import WalletPass
from loyalty_wallet.sync.leases import claim
from tests.benchmarks.databases import (
    database_version,
    private_server,
    scratch_database,
    tidy,
)
from tests.benchmarks.measure import BenchmarkError, machine, median, promise, show
from tests.servers import PostgresServer

WALLET = "google"
DUE_INDEX = "wallet_pass_due"
PROMISED_MS = 5.0


class Statement(NamedTuple):
    """One statement that was executed, and how long it took."""

    sql: str
    params: Any
    seconds: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--passes", type=int, default=2_000_000, metavar="N", help="default 2,000,000"
    )
    parser.add_argument("--due", type=int, default=500, metavar="N", help="default 500")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="default 15")


def run(options: argparse.Namespace) -> None:
    with private_server(PostgresServer), scratch_database():
        _fill(options.passes, options.due)
        claims = [_claim(options.due) for _ in range(options.rounds)]
        reads = [
            [row for row in claimed if row.sql.startswith("SELECT")][:-1] for claimed in claims
        ]
        select_ms = 1000 * median(sum(row.seconds for row in selects) for selects in reads)
        claim_ms = 1000 * median(sum(row.seconds for row in claimed) for claimed in claims)
        select = max(reads[-1], key=lambda row: row.seconds)
        index = ", ".join(_indexes(select)) or "none"
        keys = WalletPass.objects.order_by("pk").values_list("pk", flat=True)[: options.due]
        floor_ms = 1000 * median(_seconds(lambda: list(keys.all())) for _ in claims)
        with _without_indexes():
            scan_ms = 1000 * _seconds(lambda: _execute(select))
        size_kb = _index_bytes() / 1024
        version = database_version()
    is_kept = select_ms < PROMISED_MS and index == DUE_INDEX
    show(
        f"{options.due:,} due of {options.passes:,} passes, medians of {options.rounds}",
        ("", "ms", "ratio to the floor"),
        [
            (name, f"{spent:.2f}", f"{spent / floor_ms:.2f}")
            for name, spent in (
                ("find and lock them: the selection", select_ms),
                ("the whole claim: with leases and reading", claim_ms),
                ("the floor: as many keys, from the start of the table", floor_ms),
                ("the selection without an index", scan_ms),
            )
        ],
        notes=[
            f"The plan uses the index {index}, {size_kb:,.0f} kB (promised: {DUE_INDEX}, under "
            f"{PROMISED_MS:.0f} ms, {promise(is_kept)}).",
            f"{machine()}, Django {django.get_version()}, {version}",
        ],
    )


def _fill(passes: int, due: int) -> None:
    """Make passes in bulk, the due ones spread evenly among them."""
    columns = {
        "card_key": "n::text",
        "wallet": f"'{WALLET}'",
        "remote_id": "'3388000000000000001.' || md5(n::text)",
        "program_key": "'coffee'",
        "card_label": "'CARD-' || lpad(n::text, 7, '0')",
        "presence": "'unknown'",
        "presence_source": "''",
        "state": "'active'",
        "created_at": "now()",
        "due_at": f"CASE WHEN n % {passes // due} = 0 THEN now() - n * interval '1 ms' END",
        "priority": "0",
        "is_forced": "false",
        "desired_revision": "2",
        "synced_revision": "1",
        "fingerprint": "md5(n::text) || md5(n::text)",
        "payload": """'{"id": "a pass", "state": "ACTIVE"}'""",
        "synced_at": "now()",
        "authentication_token": "''",
        "change_tag": "0",
        "lease_token": "''",
        "takeovers": "0",
        "failing_runs": "0",
        "last_code": "''",
        "last_outcome": "'updated'",
    }
    table = connection.ops.quote_name(WalletPass._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) "  # noqa: S608
            f"SELECT {', '.join(columns.values())} FROM generate_series(1, {passes}) AS n"
        )
    tidy(WalletPass)


def _claim(due: int) -> list[Statement]:
    """Claim all that is due, undo it, and return the statements in their order."""
    statements = []

    def note(execute: Callable[..., Any], sql: str, params: Any, *rest: Any) -> Any:
        started = time.perf_counter()
        result = execute(sql, params, *rest)
        if not sql.startswith(("SAVEPOINT", "RELEASE")):
            statements.append(Statement(sql, params, time.perf_counter() - started))
        return result

    with connection.execute_wrapper(note):
        rows = claim(Q(wallet=WALLET), limit=due)[1]
    claimed = WalletPass.objects.filter(pk__in=[row.pk for row in rows])
    claimed.update(lease_token="", lease_until=None, takeovers=0)
    if len(rows) != due:
        raise BenchmarkError(f"{due} passes were due, {len(rows)} were claimed.")
    return statements


def _execute(statement: Statement) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement.sql, statement.params)
        cursor.fetchall()


def _indexes(statement: Statement) -> list[str]:
    """Return the indexes that the plan of the statement uses."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {statement.sql}", statement.params)
        (plan,) = cursor.fetchone()
    return sorted(set(_index_names(plan[0]["Plan"])))


def _index_names(plan: dict[str, Any]) -> Iterator[str]:
    if "Index Name" in plan:
        yield plan["Index Name"]
    for child in plan.get("Plans", ()):
        yield from _index_names(child)


def _index_bytes() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_relation_size(%s)", [DUE_INDEX])
        (size,) = cursor.fetchone()
    return int(size)


@contextmanager
def _without_indexes() -> Iterator[None]:
    ways = ("enable_indexscan", "enable_bitmapscan", "enable_indexonlyscan")
    with connection.cursor() as cursor:
        for way in ways:
            cursor.execute(f"SET {way} = off")
        yield
        for way in ways:
            cursor.execute(f"SET {way} = on")


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
