"""A world on a private PostgreSQL, with a schema that is made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from django.core.management import call_command
from pytest_django import DjangoDbBlocker

from loyalty_wallet.emulator import GoogleEmulator
from tests.servers import PostgresServer, RedisServer

from .world import World, database

DATABASE = "chaos"


@pytest.fixture(scope="session")
def postgres_url(postgres_server: PostgresServer, django_db_blocker: DjangoDbBlocker) -> str:
    """A database of its own on the private server, with the schema in it."""
    with psycopg.connect(postgres_server.url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {DATABASE}")
    url = urlsplit(postgres_server.url)._replace(path=f"/{DATABASE}").geturl()
    with django_db_blocker.unblock(), database(url):
        call_command("migrate", verbosity=0)
    return url


@pytest.fixture
def world(
    postgres_url: str,
    redis_server: RedisServer,
    tmp_path: Path,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[World]:
    """An empty shop on PostgreSQL, with a Redis that forgets what earlier tests left in it."""
    redis_server.start()
    redis_server.restart()
    with (
        GoogleEmulator(requests_per_second=None) as google,
        django_db_blocker.unblock(),
        database(postgres_url),
    ):
        world = World(google, tmp_path, database_url=postgres_url, redis_url=redis_server.url)
        with world.own_settings:
            try:
                world.wipe()
                yield world
            finally:
                world.end()
