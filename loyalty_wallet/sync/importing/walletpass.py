"""Reads the passes that django-walletpass has handed out, from its tables.

It need not be installed. Its tables have been the same since its version 1; read are the columns
that say which pass is on which device.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseError

from ...registry import get_wallets
from ...wallets.apple import AppleWallet
from .reading import ImportSourceError, PassRow

PASSES = "django_walletpass_pass"
REGISTRATIONS = "django_walletpass_registration"
_COLUMNS = {
    PASSES: ("id", "pass_type_identifier", "serial_number", "authentication_token"),
    REGISTRATIONS: ("id", "pazz_id", "device_library_identifier", "push_token"),
}
_CHUNK_SIZE = 2000


def read_walletpass(wallet: str, *, database: str = "default") -> Iterator[PassRow]:
    """Yield each pass of a wallet's pass type, once for each device that holds it.

    `database` is the alias of the database with the tables. Raises ImportSourceError when it does
    not have them, or there is no such Apple wallet.
    """
    found = get_wallets().get(wallet)
    if not isinstance(found, AppleWallet):
        raise ImportSourceError(f"No Apple wallet {wallet!r} is configured.")
    if database not in connections:
        raise ImportSourceError(f"No database {database!r} is configured.")
    connection = connections[database]
    try:
        _check_tables(connection)
    except DatabaseError as error:
        raise ImportSourceError(f"The database {database!r} cannot be read: {error}") from error
    return _rows(connection, found)


def _check_tables(connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        for table, wanted in _COLUMNS.items():
            if table not in tables:
                raise ImportSourceError(
                    f"The database {connection.alias!r} has no table {table} of django-walletpass."
                )
            description = connection.introspection.get_table_description(cursor, table)
            if lacking := set(wanted) - {column.name for column in description}:
                raise ImportSourceError(f"{table} lacks the columns {', '.join(sorted(lacking))}.")


def _rows(connection: BaseDatabaseWrapper, wallet: AppleWallet) -> Iterator[PassRow]:
    quote = connection.ops.quote_name
    # A device that has registered twice has sent its newer push token with the later one.
    statement = f"""
        SELECT p.{quote("id")}, p.{quote("serial_number")}, p.{quote("authentication_token")},
            r.{quote("device_library_identifier")}, r.{quote("push_token")}
        FROM {quote(PASSES)} p
        LEFT JOIN {quote(REGISTRATIONS)} r ON r.{quote("pazz_id")} = p.{quote("id")}
        WHERE p.{quote("pass_type_identifier")} = %s
        ORDER BY p.{quote("id")}, r.{quote("id")}
    """  # noqa: S608 (quoted names, bound values)  # nosec B608
    with connection.cursor() as cursor:
        cursor.execute(statement, [wallet.pass_type_identifier])
        while rows := cursor.fetchmany(_CHUNK_SIZE):
            for pk, serial_number, token, device, push_token in rows:
                yield PassRow(
                    place=f"Pass {pk} ({serial_number})",
                    card=serial_number,
                    wallet=wallet.alias,
                    remote_id=serial_number,
                    token=token,
                    device=device or "",
                    push_token=push_token or "",
                )
