"""The settings, the database, the cards, and what the status says of the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.core import checks
from django.db import Error as DatabaseFailure
from django.db import connections, router
from django.db.migrations.executor import MigrationExecutor
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ...checks import TAG
from ...models import WalletPass
from ...sources import get_card_source
from ..problems import Level
from ..status import read_status
from .findings import Finding, Grade

_TOLD_BY_CHECKS = frozenset({"settings", "no_usable_wallet", "misconfigured", "expires_soon"})


def examine_settings() -> Iterator[Finding]:
    """Run the system checks, those of a server among them."""
    messages = checks.run_checks(tags=[TAG], include_deployment_checks=True)
    for message in messages:
        grade = Grade.NOTE
        if message.level >= checks.WARNING:
            grade = Grade.ERROR if message.level >= checks.ERROR else Grade.WARNING
        yield Finding(
            code=str(message.id).removeprefix(f"{TAG}."),
            grade=grade,
            text=str(message.msg),
            fix=str(message.hint or ""),
        )
    if not any(message.level >= checks.WARNING for message in messages):
        yield Finding(code="settings", grade=Grade.GOOD, text=_("The settings are sound."))


def examine_database() -> Iterator[Finding]:
    """Look whether it can be reached and has our tables as they are now."""
    connection = connections[router.db_for_write(WalletPass)]
    try:
        executor = MigrationExecutor(connection)
        leaves = [node for node in executor.loader.graph.leaf_nodes() if node[0] == TAG]
        missing = executor.migration_plan(leaves)
    except DatabaseFailure as error:
        yield Finding(
            code="database",
            grade=Grade.ERROR,
            text=_("The database cannot be reached: %(error)s.") % {"error": type(error).__name__},
            fix=_("Check DATABASES in the settings, and that its server is running."),
        )
        return
    if missing:
        yield Finding(
            code="migrations",
            grade=Grade.ERROR,
            text=ngettext(
                "%(count)d migration is not applied.",
                "%(count)d migrations are not applied.",
                len(missing),
            )
            % {"count": len(missing)},
            fix="manage.py migrate",
        )
        return
    yield Finding(
        code="database",
        grade=Grade.GOOD,
        text=_("The database (%(vendor)s) has our tables.") % {"vendor": connection.vendor},
    )
    yield from judge_options(connection.vendor, connection.settings_dict.get("OPTIONS") or {})


def judge_options(vendor: str, options: Mapping[str, Any]) -> Iterator[Finding]:
    """Look whether workers beside each other would be in each other's way."""
    mode = str(options.get("transaction_mode") or "DEFERRED").upper()
    isolation = str(options.get("isolation_level", "read committed")).lower()
    if vendor == "sqlite" and mode == "DEFERRED":
        yield Finding(
            code="sqlite_mode",
            grade=Grade.WARNING,
            text=_("SQLite begins transactions too late: two writers fail with 'locked'."),
            fix="DATABASES: 'OPTIONS': {'transaction_mode': 'IMMEDIATE', 'timeout': 20}",
        )
    if vendor == "mysql" and isolation != "read committed":
        yield Finding(
            code="isolation_level",
            grade=Grade.WARNING,
            text=_("Transactions are isolated as %(level)s: workers lock each other's rows.")
            % {"level": isolation},
            fix="DATABASES: 'OPTIONS': {'isolation_level': 'read committed'}",
        )


def examine_cards() -> Iterator[Finding]:
    """Look whether the card source can read a card."""
    source = get_card_source()
    name = type(source).__name__
    row = source.get_queryset().first()
    if row is None:
        yield Finding(
            code="cards", grade=Grade.NOTE, text=_("%(source)s has no card yet.") % {"source": name}
        )
        return
    try:
        card = source.to_card(row)
    except Exception as error:
        yield Finding(
            code="cards",
            grade=Grade.ERROR,
            text=_("%(source)s.to_card raised %(error)s for the card %(key)s.")
            % {"source": name, "error": type(error).__name__, "key": source.key_for(row)},
            fix=_("Correct the source, or the card: manage.py wallet_status %(key)s")
            % {"key": source.key_for(row)},
        )
        return
    yield Finding(
        code="cards", grade=Grade.GOOD, text=_("%(source)s reads cards.") % {"source": name}
    )
    if not WalletPass.objects.exists():
        yield Finding(
            code="no_passes",
            grade=Grade.WARNING if card.program.wallets else Grade.NOTE,
            text=_("There are cards, but no pass: no wallet has any of them."),
            fix=_("Name a configured wallet in the program, then: touch(keys) or issue(keys)."),
        )


def examine_state() -> Iterator[Finding]:
    """Take over what the status says is wrong and no other check has said."""
    for problem in read_status().problems:
        if problem.code not in _TOLD_BY_CHECKS:
            yield Finding(
                code=problem.code,
                grade=Grade.ERROR if problem.level is Level.DOWN else Grade.WARNING,
                text=problem.text,
                fix=problem.remedy,
                wallet=problem.wallet,
            )
