"""The Celery tasks on a real worker with a real broker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.conf import settings as django_settings
from django.db import connection

from loyalty_wallet import queueing
from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, SyncRun
from tests.servers.kinds import RedisServer
from tests.shopfront import balance_at, configure, google, make_cards, program, right_cards

__all__ = ["configure", "google", "make_cards", "program", "right_cards"]

MakeCards = Callable[[int], list[LoyaltyCard]]
ROOT = Path(__file__).parent.parent
PATIENCE_SECONDS = 60

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
def environment(google: GoogleEmulator, redis_server: RedisServer) -> dict[str, str]:
    """The environment of the reference project, on this test's database."""
    if connection.vendor != "sqlite":
        pytest.skip("The worker of this test shares the test's SQLite file.")
    options = google.wallet_options
    return {
        **os.environ,
        "DATABASE_URL": f"sqlite:///{django_settings.DATABASES['default']['NAME']}",
        "REDIS_URL": redis_server.url,
        "GOOGLE_WALLET_ISSUER_ID": options["issuer_id"],
        "GOOGLE_WALLET_CREDENTIALS": options["credentials"],
        "GOOGLE_WALLET_API_URL": options["api_url"],
        "GOOGLE_WALLET_REQUESTS_PER_SECOND": "1000",
    }


@pytest.fixture
def worker(environment: dict[str, str]) -> Iterator[None]:
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "project",
        "worker",
        "-l",
        "WARNING",
        "-c",
        "1",
    ]
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def celery(environment: dict[str, str], *args: str) -> str:
    command = [sys.executable, "-m", "celery", "-A", "project", *args]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def wait_for(condition: Callable[[], Any]) -> Any:
    """Return what `condition` gives as soon as it is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (value := condition()):
        assert time.monotonic() < deadline, "It did not happen in time."
        time.sleep(0.1)
    return value


def test_the_runbook_call_brings_cards_up_to_date(
    google: GoogleEmulator, right_cards: MakeCards, environment: dict[str, str], worker: None
) -> None:
    """`celery -A project call loyalty.sync_wallet_passes` runs the sync and returns its report."""
    cards = right_cards(3)
    cards[0].record("earn", points=5)
    google.fail(object_id=cards[1].google_object_id, status=400)
    cards[1].record("earn", points=5)

    task_id = celery(environment, "call", "loyalty.sync_wallet_passes")
    run = wait_for(
        lambda: SyncRun.objects.filter(trigger="schedule", finished_at__isnull=False).first()
    )
    result = json.loads(
        celery(environment, "result", task_id).replace("'", '"').replace("None", "null")
    )

    assert balance_at(google, cards[0]) == 5
    assert result["run_id"] == run.pk
    assert result["failed_card_ids"] == [cards[1].key]
    assert result["status"] == "partial"


def test_a_queued_run_is_carried_out_by_a_worker(
    google: GoogleEmulator, right_cards: MakeCards, environment: dict[str, str], worker: None
) -> None:
    """`sync_wallet_passes --enqueue` returns at once; the worker does the run that was asked for."""
    cards = right_cards(2)
    LoyaltyCard.objects.filter(pk=cards[0].pk).update(points_balance=5)

    command = [sys.executable, "manage.py", "sync_wallet_passes", "--card", cards[0].key]
    done = subprocess.run(
        [*command, "--enqueue", "--json"],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    queued = json.loads(done.stdout)

    assert queued["trigger"] == "command"
    run = wait_for(lambda: SyncRun.objects.filter(pk=queued["run_id"], status="succeeded").first())
    assert run.card_counts["synced"] == 1
    assert balance_at(google, cards[0]) == 5


def test_a_living_worker_answers(
    redis_server: RedisServer, worker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages and monitors learn whether anybody takes what is enqueued."""
    monkeypatch.setattr(queueing, "_last_ping", None)
    monkeypatch.setattr(queueing, "REMEMBERED_SECONDS", 0)
    monkeypatch.setattr(current_app.conf, "broker_url", redis_server.url)
    assert wait_for(queueing.has_live_worker)
