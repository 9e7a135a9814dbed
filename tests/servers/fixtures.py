"""One server of each kind a test session, started when the first test asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NoReturn, TypeVar

import pytest

from tests.servers import (
    MariaDBServer,
    PostgresServer,
    RedisServer,
    Server,
    ServerNotInstalledError,
)


def is_ci() -> bool:
    return os.environ.get("CI", "").lower() == "true"


S = TypeVar("S", bound=Server)


def installed(kind: type[S], **finder: Any) -> S:
    """Return a server of this kind, or skip the test and say what to install."""
    try:
        return kind(**finder)
    except ServerNotInstalledError as error:
        skip_or_fail(str(error))


def skip_or_fail(reason: str) -> NoReturn:
    """Skip the test; in CI a test that quietly never runs is a failure."""
    if is_ci():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


_started: list[Server] = []


def _serve(kind: type[S]) -> Iterator[S]:
    with installed(kind) as server:
        _started.append(server)
        yield server
        _started.remove(server)


@pytest.fixture(autouse=True)
def _no_server_left_dead() -> Iterator[None]:
    """A test that killed a server and failed on the way must not take the next tests with it."""
    yield
    for server in _started:
        server.start()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A private Redis; its `url` serves as REDIS_URL."""
    yield from _serve(RedisServer)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A private PostgreSQL; its `url` serves as DATABASE_URL."""
    yield from _serve(PostgresServer)


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDBServer]:
    """A private MariaDB; its `url` serves as DATABASE_URL."""
    yield from _serve(MariaDBServer)
