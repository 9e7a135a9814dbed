"""Plumbing for all tests: a clean environment, a database file of its own, private servers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import translation

from tests.servers.fixtures import (
    _no_server_left_dead,
    mariadb_server,
    postgres_server,
    redis_server,
)

__all__ = ["_no_server_left_dead", "mariadb_server", "postgres_server", "redis_server"]

LONGEST = (
    "test_kill_matrix.py",
    "test_state_machine.py",
    "test_databases.py",
    "test_benchmarks.py",
    "test_docs_blocks.py",
    "test_failing_cards.py",
    "test_operator.py",
    "test_card_page.py",
    "test_resync.py",
    "test_docs_examples.py",
    "test_tasks.py",
    "test_demo.py",
    "test_strangers.py",
    "test_breaker.py",
    "test_races.py",
)
"""Files that take a quarter of a minute or more, of the chaos too: begun first, so that no process
ends long after the others."""

_PRIVATE_PREFIXES = ("APPLE_WALLET_", "DJANGO_", "GOOGLE_WALLET_", "WALLET_")
_temporary_folder = pytest.StashKey[tempfile.TemporaryDirectory[str]]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Let no test reach what the developer's shell is configured for, but the database."""
    for name in list(os.environ):
        if name == "REDIS_URL" or (
            name.startswith(_PRIVATE_PREFIXES) and name != "DJANGO_SETTINGS_MODULE"
        ):
            del os.environ[name]
    settings.REDIS_URL = settings.CELERY_BROKER_URL = settings.CELERY_RESULT_BACKEND = None
    settings.LOYALTY_WALLET = {"WALLETS": {}}

    # SQLite in memory locks whole tables between threads; a file behaves as in production. Its
    # own folder lets two test runs go side by side.
    database = settings.DATABASES["default"]
    if database["ENGINE"] == "django.db.backends.sqlite3":
        folder = tempfile.TemporaryDirectory(prefix="loyalty-wallet-tests-")
        config.stash[_temporary_folder] = folder
        database.setdefault("TEST", {})["NAME"] = str(Path(folder.name) / "test.sqlite3")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, whatever order the others have."""
    first = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: first.get(item.path.name, len(first)))


def pytest_unconfigure(config: pytest.Config) -> None:
    if folder := config.stash.get(_temporary_folder, None):
        folder.cleanup()


@pytest.fixture(autouse=True)
def _no_language_left() -> Iterator[None]:
    """A page in German leaves its thread in German; the next test reads English again."""
    yield
    translation.deactivate()
