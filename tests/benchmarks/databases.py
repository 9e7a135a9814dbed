"""Where a benchmark keeps its rows: a scratch database, on the given server or on a private one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from django.db import connection, models

from tests.benchmarks.measure import BenchmarkError
from tests.chaos.world import database
from tests.servers import Server, ServerNotInstalledError

VARIABLE = "DATABASE_URL"


def is_installed(kind: type[Server]) -> bool:
    """Say whether the programs of such a server are on this machine."""
    try:
        kind()
    except ServerNotInstalledError:
        return False
    return True


@contextmanager
def private_server(kind: type[Server]) -> Iterator[Server]:
    """Let DATABASE_URL and this process's ORM mean a server that nobody else uses.

    Raises BenchmarkError when its programs are not installed.
    """
    before = os.environ[VARIABLE]
    try:
        server = kind()
    except ServerNotInstalledError as error:
        raise BenchmarkError(str(error)) from error
    with server, database(server.url):
        os.environ[VARIABLE] = server.url
        try:
            yield server
        finally:
            os.environ[VARIABLE] = before


@contextmanager
def scratch_database() -> Iterator[str]:
    """Make an empty database beside the one of DATABASE_URL, which is not touched; yield its URL."""
    with tempfile.TemporaryDirectory(prefix="loyalty-wallet-") as folder:
        if connection.vendor == "sqlite":
            name = str(Path(folder) / "benchmark.sqlite3")
            url = f"sqlite:///{name}"
        else:
            name = f"loyalty_wallet_benchmark_{os.getpid()}"
            url = urlsplit(os.environ[VARIABLE])._replace(path=f"/{name}").geturl()
        original = str(connection.settings_dict["NAME"])
        connection.settings_dict["TEST"]["NAME"] = name
        connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
        try:
            yield url
        finally:
            connection.creation.destroy_test_db(original, verbosity=0)


def tidy(model: type[models.Model]) -> None:
    """Let the database forget the rows that were overwritten, and count those that are there."""
    table = connection.ops.quote_name(model._meta.db_table)
    statement = {
        "postgresql": f"VACUUM ANALYZE {table}",
        "mysql": f"ANALYZE TABLE {table}",
        "sqlite": f"ANALYZE {table}",
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(statement)


def database_version() -> str:
    number = ".".join(str(part) for part in connection.get_database_version())
    return f"{connection.display_name} {number}"
