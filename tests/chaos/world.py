"""A shop on a private database, an emulated Google, and the workers between them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from celery import Celery
from django.apps import apps
from django.core.management.color import no_style
from django.db import connection, connections
from django.db.models import F
from django.test import override_settings
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import (
    LoyaltyCard,
    LoyaltyProgram,
    SyncBatch,
    SyncRun,
    SyncState,
    WalletPass,
)
from loyalty_wallet.sync import sync_wallet_passes, touch
from project.settings import _database

from .processes import Failpoint, HeldRequests, Worker

HTTP = "during_http"
REQUESTS_PER_SECOND = 40
"""The limit that all workers share."""
RETRY_DELAYS = (0.05, 0.1, 0.2)
SECRET = "planted-4f1c-in-the-settings"
"""Must be in no output."""
PATIENT = {
    "CHAOS_LOYALTY_WALLET": json.dumps({"BATCH_SIZE": 5, "LEASE_SECONDS": 40}),
    "CHAOS_WALLET_OPTIONS": json.dumps({"timeout_seconds": 30}),
}
"""For a worker whose requests a test holds up for as long as it likes."""


@contextmanager
def database(url: str) -> Iterator[None]:
    """Let the ORM of this process work on another database."""
    original, settings = connections["default"], connections.settings["default"]
    changed = connections.configure_settings({"default": _database(url)})
    connections.settings["default"] = changed["default"]
    del connections["default"]
    try:
        yield
    finally:
        connection.close()
        connections.settings["default"] = settings
        connections["default"] = original


class World:
    """What a test does to a shop; the workers that it starts are gone at its end."""

    def __init__(
        self, google: GoogleEmulator, folder: Path, *, database_url: str, redis_url: str = ""
    ) -> None:
        self.google = google
        self.redis_url = redis_url
        self.owed = 0
        """How many deliveries the changes so far ask for."""
        self.perhaps_twice = 0
        """How many passes changed while they were due: one delivery or two, both are right."""
        self.workers: list[Worker] = []
        self._folder = folder
        options = google.wallet_options
        self._environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.chaos.settings",
            "DATABASE_URL": database_url,
            "GOOGLE_WALLET_ISSUER_ID": options["issuer_id"],
            "GOOGLE_WALLET_CREDENTIALS": options["credentials"],
            "GOOGLE_WALLET_API_URL": options["api_url"],
            "GOOGLE_WALLET_REQUESTS_PER_SECOND": str(REQUESTS_PER_SECOND),
            "DJANGO_SECRET_KEY": SECRET,
        }
        self.own_settings = self._settings(requests_per_second=REQUESTS_PER_SECOND)

    def _settings(self, *, requests_per_second: float | None) -> override_settings:
        """Make this process a worker, too."""
        options = {**self.google.wallet_options, "requests_per_second": requests_per_second}
        wallet = {"BACKEND": "loyalty_wallet.wallets.google.GoogleWallet", "OPTIONS": options}
        return override_settings(
            LOYALTY_WALLET={"WALLETS": {"google": wallet}, "RETRY_DELAYS": RETRY_DELAYS}
        )

    # --- The shop -----------------------------------------------------------------------------

    def wipe(self) -> None:
        """Begin with an empty shop; the schema stays."""
        models = [
            *apps.get_app_config("loyalty_wallet").get_models(),
            *apps.get_app_config("django_celery_beat").get_models(),
        ]
        tables = [model._meta.db_table for model in models]
        connection.ops.execute_sql_flush(
            connection.ops.sql_flush(no_style(), tables, allow_cascade=True)
        )

    def seed(self, cards: int) -> list[LoyaltyCard]:
        """Add cards whose passes are right, and forget how they came to be."""
        program = LoyaltyProgram.objects.create(
            name="Coffee Club", slug="coffee", issuer_name="Corner Café", apple_wallet=""
        )
        LoyaltyCard.objects.bulk_create(
            LoyaltyCard(program=program, card_number=f"C{number:05}") for number in range(cards)
        )
        # Long ago, so that no run discovers them by itself.
        LoyaltyCard.objects.update(updated_at=timezone.now() - timedelta(days=30))
        made = list(LoyaltyCard.objects.order_by("pk"))
        touch(card.key for card in made)
        with self._settings(requests_per_second=None):
            assert sync_wallet_passes().cards["synced"] == cards
        for model in (SyncBatch, SyncState, SyncRun):
            WalletPass.objects.update(last_run=None)
            model._default_manager.all().delete()
        self.google._service.log.clear()
        return made

    def sell(self, cards: Sequence[LoyaltyCard] | None = None, *, points: int = 5) -> None:
        """Let cards, or all, earn points in bulk, and mark their passes due."""
        cards = list(LoyaltyCard.objects.all()) if cards is None else cards
        passes = WalletPass.objects.for_cards(card.key for card in cards)
        self.perhaps_twice += passes.due().count()
        self.owed += passes.filter(due_at=None).count()
        LoyaltyCard.objects.filter(pk__in=[card.pk for card in cards]).update(
            points_balance=F("points_balance") + points
        )
        touch(card.key for card in cards)

    def due(self) -> int:
        return WalletPass.objects.due().count()

    # --- The workers --------------------------------------------------------------------------

    def trap(self, point: str) -> Failpoint | HeldRequests:
        """Make a place at which a worker can be caught; HTTP is one with requests under way."""
        if point == HTTP:
            return HeldRequests(self.google)
        return Failpoint(point, self.new_folder())

    def start(
        self, *options: str, environment: dict[str, str] | None = None, **conf: Any
    ) -> Worker:
        """Start `manage.py sync_wallet_passes`; `conf` goes over LOYALTY_WALLET."""
        command = [sys.executable, "manage.py", "sync_wallet_passes", "--json", *options]
        return self.launch(command, environment, **conf)

    def start_celery(
        self,
        processes: int = 1,
        *,
        environment: dict[str, str] | None = None,
        level: str = "WARNING",
        **conf: Any,
    ) -> Worker:
        """Start a Celery worker with so many processes."""
        command = f"-m celery -A project worker -l {level} -c {processes} --without-gossip"
        options = ["--without-mingle", "--without-heartbeat"]
        redis = {"REDIS_URL": self.redis_url, **(environment or {})}
        return self.launch([sys.executable, *command.split(), *options], redis, **conf)

    def launch(
        self, command: Sequence[str], environment: dict[str, str] | None = None, **conf: Any
    ) -> Worker:
        variables = {
            **self._environment,
            "CHAOS_LOYALTY_WALLET": json.dumps({"BATCH_SIZE": 5, **conf}),
            **(environment or {}),
        }
        worker = Worker(command, variables, self.new_folder())
        self.workers.append(worker)
        return worker

    def start_beat(self) -> Worker:
        """Start Celery's scheduler on the table of periodic tasks."""
        command = "-m celery -A project beat -l WARNING --max-interval 1 --pidfile= --schedule="
        return self.launch([sys.executable, *command.split()], {"REDIS_URL": self.redis_url})

    def sync(self) -> None:
        """Carry out a healthy run that waits for its turn: this process is the worker.

        It saves the start of another Python in every cell of the matrix.
        """
        report = sync_wallet_passes(wait=True)
        assert report.status == "succeeded", report

    def send_task(self, name: str, *args: Any, **options: Any) -> None:
        """Put a message into the broker, as the scheduler or a web process does."""
        with Celery("scheduler", broker=self.redis_url, set_as_current=False) as sender:
            sender.send_task(name, args=args, **options)

    def end(self) -> None:
        for worker in self.workers:
            worker.kill_group()

    def new_folder(self) -> Path:
        folder = self._folder / str(len(list(self._folder.iterdir())))
        folder.mkdir()
        return folder
