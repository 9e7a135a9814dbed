"""A world on a private PostgreSQL or MariaDB, with a schema that is made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.core.management import call_command
from django.db import connection
from pytest_django import DjangoDbBlocker

from loyalty_wallet.emulator import GoogleEmulator
from tests.servers import RedisServer, Server

from .world import World, database

DATABASE = "chaos"
MARIADB = pytest.mark.parametrize("database_server", ["mariadb_server"], indirect=True)
BOTH = pytest.mark.parametrize(
    "database_server", ["postgres_server", "mariadb_server"], indirect=True
)
"""The databases that a shop stands on; PostgreSQL where a test does not say."""


@pytest.fixture
def database_server(request: pytest.FixtureRequest) -> Server:
    server: Server = request.getfixturevalue(getattr(request, "param", "postgres_server"))
    return server


@pytest.fixture(scope="session")
def prepared() -> dict[str, str]:
    """The databases that have a schema, by the name of their server."""
    return {}


@pytest.fixture
def database_url(
    database_server: Server, prepared: dict[str, str], django_db_blocker: DjangoDbBlocker
) -> str:
    """A database of its own on the private server, with the schema in it."""
    if database_server.name not in prepared:
        url = urlsplit(database_server.url)._replace(path=f"/{DATABASE}").geturl()
        with django_db_blocker.unblock():
            with database(database_server.url), connection.cursor() as cursor:
                cursor.execute(f"CREATE DATABASE {DATABASE}")
            with database(url):
                call_command("migrate", verbosity=0)
        prepared[database_server.name] = url
    return prepared[database_server.name]


@pytest.fixture
def world(
    database_url: str,
    redis_server: RedisServer,
    tmp_path: Path,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[World]:
    """An empty shop, with a Redis that forgets what earlier tests left in it."""
    redis_server.start()
    redis_server.restart()
    with (
        GoogleEmulator(requests_per_second=None) as google,
        django_db_blocker.unblock(),
        database(database_url),
    ):
        world = World(google, tmp_path, database_url=database_url, redis_url=redis_server.url)
        with world.own_settings:
            try:
                world.wipe()
                yield world
            finally:
                world.end()
