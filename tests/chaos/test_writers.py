"""Tills that write while workers deliver: no balance and no change is lost."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from pytest_django import DjangoDbBlocker

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, LoyaltyTransaction, WalletPass
from tests.servers import Server

from .invariants import (
    check_attempts,
    check_balances_never_go_back,
    check_every_pass_is_right_or_failed,
    check_nothing_secret_was_written,
    check_one_writer_at_a_time,
)
from .world import World, database

CARDS = 10
TIMES = 5
TILLS = 3

pytestmark = pytest.mark.chaos


@pytest.fixture
def sqlite_world(tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[World]:
    """A shop on SQLite, where all writers share one lock."""
    url = f"sqlite:///{tmp_path / 'shop.sqlite3'}"
    folder = tmp_path / "workers"
    folder.mkdir()
    with (
        GoogleEmulator(requests_per_second=None) as google,
        django_db_blocker.unblock(),
        database(url),
    ):
        call_command("migrate", verbosity=0)
        world = World(google, folder, database_url=url)
        with world.own_settings:
            try:
                yield world
            finally:
                world.end()


@pytest.mark.parametrize(
    ("kind", "database_server"),
    [
        ("world", "postgres_server"),
        ("world", "mariadb_server"),
        ("sqlite_world", "postgres_server"),
    ],
    ids=["postgresql", "mariadb", "sqlite"],
    indirect=["database_server"],
)
def test_tills_and_workers_at_once(
    request: pytest.FixtureRequest, kind: str, database_server: Server
) -> None:
    """Case 41: three tills earn points on the same cards while two runs deliver them."""
    world: World = request.getfixturevalue(kind)
    world.seed(CARDS)
    command = [sys.executable, "-m", "tests.chaos.writer", str(TIMES)]
    tills = [world.launch(command) for _ in range(TILLS)]
    # Whoever waits for SQLite's one lock must not be taken for dead.
    patient = {"CHAOS_RUN_LEASE_SECONDS": "60"}
    runs = [world.start("--wait", environment=patient, LEASE_SECONDS=60) for _ in range(2)]
    for till in tills:
        assert till.wait() == 0, till.log
    for run in runs:
        assert run.wait() == 0, run.log
    world.sync()

    earned = TIMES * TILLS
    assert LoyaltyTransaction.objects.count() == CARDS * earned
    assert set(LoyaltyCard.objects.values_list("points_balance", flat=True)) == {earned}
    assert not WalletPass.objects.exclude(due_at=None).exists()
    check_one_writer_at_a_time(world.google)
    check_balances_never_go_back(world.google)
    assert check_every_pass_is_right_or_failed(world) == 0
    check_attempts(world.google)
    check_nothing_secret_was_written(world)
