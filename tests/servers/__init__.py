"""Private PostgreSQL, MariaDB and Redis servers for tests, each on a free loopback port."""

from __future__ import annotations

from tests.servers.base import Server, ServerNotInstalledError, ServerNotReadyError
from tests.servers.kinds import MariaDBServer, PostgresServer, RedisServer

__all__ = [
    "MariaDBServer",
    "PostgresServer",
    "RedisServer",
    "Server",
    "ServerNotInstalledError",
    "ServerNotReadyError",
]
