"""PostgreSQL, MariaDB and Redis: how each is set up, started and asked whether it lives.

They skip the waits for the disk, which only matter when the machine itself goes down: a test that
kills the process still finds everything that was committed.
"""

from __future__ import annotations

import signal
from pathlib import Path

import psycopg
import pymysql

from tests.servers.base import Server

DATABASE = "loyalty"


class PostgresServer(Server):
    name = "PostgreSQL"
    package = "postgresql"
    programs = ("postgres", "initdb")
    # Debian, then Red Hat, then Homebrew.
    fallback_folders = (
        "/usr/lib/postgresql/*/bin",
        "/usr/pgsql-*/bin",
        "/opt/homebrew/opt/postgresql*/bin",
    )
    accounts = ("postgres", "nobody")
    stop_signal = signal.SIGINT  # "fast": does not wait for clients to leave

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{DATABASE}"

    def prepare(self, directory: Path) -> None:
        self.run(
            "initdb",
            f"--pgdata={directory / 'data'}",
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        )

    def command(self, directory: Path) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": "100",
            "log_min_messages": "fatal",
        }
        return [
            self.binary("postgres"),
            "-D",
            str(directory / "data"),
            "-p",
            str(self.port),
            *(part for key, value in settings.items() for part in ("-c", f"{key}={value}")),
        ]

    def ping(self) -> None:
        with self._connect() as connection:
            connection.execute("SELECT 1")

    def populate(self) -> None:
        with self._connect() as connection:
            connection.execute(f"CREATE DATABASE {DATABASE}")

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user="postgres",
            dbname="postgres",
            connect_timeout=5,
            autocommit=True,
        )


class MariaDBServer(Server):
    name = "MariaDB"
    package = "mariadb-server"
    programs = ("mariadbd", "mariadb-install-db")
    # Kept off the PATH of normal users.
    fallback_folders = ("/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/opt/homebrew/bin")
    accounts = ("mysql", "nobody")

    @property
    def url(self) -> str:
        return f"mysql://root@127.0.0.1:{self.port}/{DATABASE}"

    def prepare(self, directory: Path) -> None:
        self.run(
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={directory / 'data'}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
        )

    def command(self, directory: Path) -> list[str]:
        return [
            self.binary("mariadbd"),
            "--no-defaults",
            f"--datadir={directory / 'data'}",
            f"--tmpdir={directory}",
            f"--socket={directory / 'socket'}",
            f"--pid-file={directory / 'pid'}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--skip-log-bin",
            "--character-set-server=utf8mb4",
            # Written at each commit, so that a killed server has it, but not waited for.
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-doublewrite=0",
            "--innodb-buffer-pool-size=64M",
        ]

    def ping(self) -> None:
        connection = self._connect()
        try:
            connection.ping()
        finally:
            connection.close()

    def populate(self) -> None:
        connection = self._connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4")
        finally:
            connection.close()

    def _connect(self) -> pymysql.Connection:
        return pymysql.connect(
            host="127.0.0.1", port=self.port, user="root", connect_timeout=5, read_timeout=5
        )


class RedisServer(Server):
    """Keeps nothing on disk: a restart forgets every message, as a lost broker does."""

    name = "Redis"
    package = "redis-server"
    programs = ("redis-server",)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def prepare(self, directory: Path) -> None:
        """Redis starts in an empty directory."""

    def command(self, directory: Path) -> list[str]:
        return [
            self.binary("redis-server"),
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(directory),
            "--save",
            "",
            "--appendonly",
            "no",
            "--maxmemory-policy",
            "noeviction",
        ]

    def ping(self) -> None:
        # Here, so that tests run where nothing of a queue is installed.
        import redis

        with redis.Redis.from_url(self.url, socket_timeout=5) as client:
            client.ping()
