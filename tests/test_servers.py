"""The private servers are real, survive what chaos tests do to them, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import dj_database_url
import psycopg
import pymysql
import pytest
import redis

from tests.servers import (
    MariaDBServer,
    PostgresServer,
    RedisServer,
    Server,
    ServerNotReadyError,
)
from tests.servers.fixtures import installed

KINDS: list[type[Server]] = [MariaDBServer, PostgresServer, RedisServer]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "nothing happened for 20 seconds"
        time.sleep(0.05)


@pytest.mark.database
@pytest.mark.parametrize("how", ["restart", "kill"])
def test_postgres_keeps_what_was_committed(postgres_server: PostgresServer, how: str) -> None:
    """A row outlives a polite restart and a kill, and the address stays the same."""
    url = postgres_server.url
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS plumbing (word text)")
        connection.execute("DELETE FROM plumbing")
        connection.execute("INSERT INTO plumbing VALUES (%s)", ["drain"])

    getattr(postgres_server, how)()
    assert postgres_server.is_running == (how == "restart")
    postgres_server.restart()

    assert postgres_server.url == url
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT word FROM plumbing").fetchall() == [("drain",)]


@pytest.mark.database
@pytest.mark.parametrize("how", ["restart", "kill"])
def test_mariadb_keeps_what_was_committed(mariadb_server: MariaDBServer, how: str) -> None:
    """A row outlives a polite restart and a kill, and the address stays the same."""
    url = mariadb_server.url

    def connect() -> closing[pymysql.Connection]:
        parts = dj_database_url.parse(url)
        return closing(
            pymysql.connect(
                host=parts["HOST"],
                port=int(parts["PORT"]),
                user=parts["USER"],
                database=parts["NAME"],
                autocommit=True,
            )
        )

    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE OR REPLACE TABLE plumbing (word text) ENGINE=InnoDB")
        cursor.execute("INSERT INTO plumbing VALUES (%s)", ["drain"])

    getattr(mariadb_server, how)()
    assert mariadb_server.is_running == (how == "restart")
    mariadb_server.restart()

    assert mariadb_server.url == url
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT word FROM plumbing")
        assert cursor.fetchall() == (("drain",),)


@pytest.mark.database
def test_redis_forgets_at_a_restart(redis_server: RedisServer) -> None:
    """A value can be set and read; after a restart it is gone, as with a lost broker."""
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        client.set("plumbing", "drain")
        assert client.get("plumbing") == "drain"

    redis_server.restart()

    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        assert client.get("plumbing") is None


@pytest.mark.database
@pytest.mark.parametrize("scheme", ["postgres", "mariadb"])
def test_reference_project_migrates_on_each_database(
    request: pytest.FixtureRequest, scheme: str
) -> None:
    """`DATABASE_URL` alone moves the reference project to another database."""
    server: Server = request.getfixturevalue(f"{scheme}_server")
    result = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        env={**os.environ, "DATABASE_URL": server.url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.database
def test_closed_server_leaves_nothing() -> None:
    """After a test, failed or not, neither the process nor its directory is left."""
    with pytest.raises(ZeroDivisionError), installed(RedisServer) as server:  # noqa: PT012
        pid, directory = server.pid, server.directory
        raise ZeroDivisionError
    assert directory is not None
    assert not _is_alive(pid)
    assert not directory.exists()


@pytest.mark.database
def test_killed_session_leaves_nothing() -> None:
    """Even when pytest is killed and no `finally` runs, the guard cleans up."""
    installed(RedisServer)
    script = (
        "from tests.servers import RedisServer\n"
        "server = RedisServer()\n"
        "server.start()\n"
        "print(server.pid, server.directory, flush=True)\n"
        "input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as session:
        assert session.stdout is not None
        pid, directory = session.stdout.readline().split()
        assert _is_alive(int(pid))
        session.send_signal(signal.SIGKILL)

    _wait_until(lambda: not _is_alive(int(pid)) and not Path(directory).exists())


@pytest.mark.parametrize("kind", KINDS)
def test_missing_server_skips_and_says_what_to_install(
    kind: type[Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a developer's machine a missing server costs one sentence, not a failure."""
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=f"apt-get install {kind.package}"):
        installed(kind, path="", fallback_folders=())


@pytest.mark.parametrize("kind", KINDS)
def test_missing_server_fails_in_ci(kind: type[Server], monkeypatch: pytest.MonkeyPatch) -> None:
    """In CI a test that silently never runs would hide a missing install step."""
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=f"apt-get install {kind.package}"):
        installed(kind, path="", fallback_folders=())


def test_server_that_cannot_start_shows_its_log() -> None:
    """The error carries the server's own words, and nothing is left."""

    class BrokenServer(RedisServer):
        def command(self, directory: Path) -> list[str]:
            return [*super().command(directory), "--no-such-option", "1"]

    server = installed(BrokenServer)
    with pytest.raises(ServerNotReadyError, match="no-such-option"), server:
        pass
    assert not server.is_running
    assert server.directory is None
