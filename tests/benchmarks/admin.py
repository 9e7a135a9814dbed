"""The pages of the admin over full tables: none may take an operator longer than 300 ms.

By default 100,000 passes and 10,000 runs. Each page is asked for once to warm up, as a superuser,
and then so many times as there are rounds.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple

import django
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import (
    LoyaltyCard,
    LoyaltyProgram,
    LoyaltyTransaction,
    SyncBatch,
    SyncFailure,
    SyncRun,
    WalletPass,
)
from tests.benchmarks.databases import database_version, scratch_database, tidy
from tests.benchmarks.measure import (
    BenchmarkError,
    Cost,
    cores,
    machine,
    measured,
    median,
    promise,
    show,
)
from tests.benchmarks.world import BUSY_SHARE

PROMISED_MS = 300.0
CHUNK_SIZE = 2000
CODES = ("rejected", "unavailable", "timeout", "invalid_card")
STATUSES = ("succeeded", "succeeded", "succeeded", "partial", "failed")


class Figures(NamedTuple):
    """What one page takes."""

    ms: float
    cpu_ms: float
    """Of this process: with SQLite that is all there is, whatever else the machine does."""
    queries: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--passes", type=int, default=100_000, metavar="N", help="default 100,000")
    parser.add_argument("--runs", type=int, default=10_000, metavar="N", help="default 10,000")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="default 7")


def run(options: argparse.Namespace) -> None:
    load = os.getloadavg()[0]
    with scratch_database(), GoogleEmulator(requests_per_second=None) as google:
        backend = "loyalty_wallet.wallets.google.GoogleWallet"
        wallets = {"google": {"BACKEND": backend, "OPTIONS": google.wallet_options}}
        with override_settings(DEBUG=False, LOYALTY_WALLET={"WALLETS": wallets}):
            _fill(options.passes, options.runs)
            client = Client(SERVER_NAME="localhost")
            client.force_login(
                User.objects.create(username="boss", is_staff=True, is_superuser=True)
            )
            figures = {
                name: _measure(client, path, options.rounds) for name, path in _pages().items()
            }
        version = database_version()
    slowest = max(page.ms for page in figures.values())
    show(
        f"The admin over {options.passes:,} passes and {options.runs:,} runs, "
        f"medians of {options.rounds}",
        ("page", "ms", "CPU ms", f"ratio to {PROMISED_MS:.0f} ms", "queries"),
        [
            (
                name,
                f"{page.ms:.0f}",
                f"{page.cpu_ms:.0f}",
                f"{page.ms / PROMISED_MS:.2f}",
                str(page.queries),
            )
            for name, page in figures.items()
        ],
        notes=[
            f"The slowest page takes {slowest:.0f} ms (promised: {PROMISED_MS:.0f} ms, "
            f"{promise(slowest < PROMISED_MS)}).",
            f"{machine()}, Django {django.get_version()}, {version}",
            *_warning(load),
        ],
    )


def _warning(load: float) -> list[str]:
    if load < BUSY_SHARE * cores():
        return []
    return [f"Other work was going on (load {load:.1f}): trust the CPU time, not the ms."]


def _pages() -> dict[str, str]:
    """Return the pages by name, the ones with the most to show among them."""
    runs, failures, passes, cards = (
        reverse(f"admin:loyalty_wallet_{model}_changelist")
        for model in ("syncrun", "syncfailure", "walletpass", "loyaltycard")
    )
    worst = SyncRun.objects.filter(status="failed").latest("pk")
    going = SyncRun.objects.get(status="running")
    row = WalletPass.objects.filter(last_code="rejected").latest("pk")
    return {
        "overview": reverse("admin:app_list", args=["loyalty_wallet"]),
        "runs": runs,
        "runs, far back": f"{runs}?p=50",
        "runs, partial ones": f"{runs}?status__exact=partial",
        "runs, some failures open": f"{runs}?failures=open",
        "run with the most failures": _page("syncrun", worst.pk),
        "run that is going": _page("syncrun", going.pk),
        "its progress": reverse("admin:loyalty_wallet_syncrun_progress", args=[going.pk]),
        "failures, open ones": failures,
        "failures, all": f"{failures}?state=all",
        "failures, by code": f"{failures}?code=rejected",
        "failures, by program": f"{failures}?program=program-1",
        "failures, searched": f"{failures}?q=CARD-00000",
        "failure": _page("syncfailure", row.failures.latest("pk").pk),
        "passes": passes,
        "passes, failing ones": f"{passes}?status=failing",
        "pass": _page("walletpass", row.pk),
        "cards": cards,
        "card": _page("loyaltycard", row.card_key),
    }


def _page(model: str, pk: object) -> str:
    return reverse(f"admin:loyalty_wallet_{model}_change", args=[pk])


def _measure(client: Client, path: str, rounds: int) -> Figures:
    queries = 0

    def count(execute: Callable[..., Any], *arguments: Any) -> Any:
        nonlocal queries
        queries += 1
        return execute(*arguments)

    with connection.execute_wrapper(count):
        answer = client.get(path)
    if answer.status_code != 200:
        raise BenchmarkError(f"{path} answered {answer.status_code}.")
    costs = [_cost(client, path) for _ in range(rounds)]
    return Figures(
        1000 * median(cost.seconds for cost in costs),
        1000 * median(cost.cpu_seconds for cost in costs),
        queries,
    )


def _cost(client: Client, path: str) -> Cost:
    with measured() as cost:
        client.get(path)
    return cost


def _fill(passes: int, runs: int) -> None:
    """Make cards of three programs, an hourly history, and failures of which a tenth is open."""
    now = timezone.now()
    programs = [
        LoyaltyProgram.objects.create(name=f"Club {n}", slug=f"program-{n}", issuer_name="Shop")
        for n in range(3)
    ]
    _store(
        LoyaltyCard,
        (LoyaltyCard(program=programs[n % 3], card_number=f"CARD-{n:07}") for n in range(passes)),
    )
    keys = list(LoyaltyCard.objects.order_by("pk").values_list("pk", flat=True))
    _store(WalletPass, (_pass(n, key, now) for n, key in enumerate(keys)))
    _store(
        LoyaltyTransaction,
        (LoyaltyTransaction(card_id=key, kind="earn", points=1) for key in keys[:20_000]),
    )
    _store(SyncRun, (_run(n, now - timedelta(hours=runs - n)) for n in range(runs)))
    history = list(SyncRun.objects.order_by("pk"))
    _store(
        SyncBatch,
        (
            SyncBatch(run=run, worker="w", wallet="google", counts={"updated": 150, "failed": 5})
            for run in history
        ),
    )
    rows = list(WalletPass.objects.filter(due_at__isnull=False).order_by("pk"))
    bad = [run for run in history if run.status in ("partial", "failed")]
    _store(SyncFailure, (_failure(n, bad, rows) for n in range(passes)))
    going = SyncRun.objects.create(
        status="running", selection={"kind": "due"}, started_at=now, heartbeat_at=now
    )
    SyncBatch.objects.create(run=going, worker="w", wallet="google", counts={"updated": 500})
    for model in (LoyaltyCard, WalletPass, LoyaltyTransaction, SyncRun, SyncBatch, SyncFailure):
        tidy(model)


def _pass(number: int, key: int, now: datetime) -> WalletPass:
    is_due = number % 10 == 0
    return WalletPass(
        card_key=str(key),
        wallet="google",
        remote_id=f"3388000000000000001.{key:032x}",
        program_key=f"program-{number % 3}",
        card_label=f"CARD-{number:07}",
        due_at=now - timedelta(minutes=number % 500) if is_due else None,
        last_code=CODES[number // 10 % len(CODES)] if is_due else "",
        payload={"accountName": "Somebody", "filler": "x" * 500},
        synced_at=now,
    )


def _run(number: int, started_at: datetime) -> SyncRun:
    status = STATUSES[number % len(STATUSES)]
    failed = 10 if status in ("partial", "failed") else 0
    counts = {"synced": 150, "unchanged": 40, "failed": failed, "deferred": 0, "left": 0}
    return SyncRun(
        trigger="schedule",
        status=status,
        selection={"kind": "due"},
        started_at=started_at,
        heartbeat_at=started_at,
        finished_at=started_at + timedelta(seconds=12),
        card_counts={"selected": sum(counts.values()), **counts},
    )


def _failure(number: int, bad: list[SyncRun], rows: list[WalletPass]) -> SyncFailure:
    # The last run failed with a tenth of them all; these are open.
    is_open = number % 10 == 0
    run = bad[-1] if is_open else bad[number % len(bad)]
    row = rows[number // 10 % len(rows)]
    return SyncFailure(
        run=run,
        wallet_pass=row,
        code=row.last_code,
        message="The service is currently unavailable.",
        http_status=503,
        attempts=4,
        failed_at=row.due_at or run.created_at,
        resolved_at=None if is_open else run.finished_at,
    )


def _store(model: Any, rows: Iterator[Any]) -> None:
    while chunk := list(islice(rows, CHUNK_SIZE)):
        model.objects.bulk_create(chunk)
