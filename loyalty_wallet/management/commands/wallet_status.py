from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error as DatabaseFailure

from ...exceptions import SelectionError
from ...monitoring.as_json import status_as_dict
from ...monitoring.problems import Level
from ...monitoring.status import read_status
from ...sync.alarms import check_alarms
from ...sync.explaining.lookup import find_card_keys
from ..card_status import card_as_dict, look_at_card, print_card
from ..overview import nagios_line, print_status
from ..terminal import console_for

USAGE = 2
UNKNOWN = 3
EXITS = {Level.OK: 0, Level.DEGRADED: 1, Level.DOWN: 2}


class Command(BaseCommand):
    help = (
        "Say whether every card is right and what is in the way; or, of one card, what its phones "
        "should show and what was delivered. From the database alone: wallet_doctor --online asks "
        "the providers."
    )
    # What is wrong with the settings is this command's own finding.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "card",
            nargs="?",
            metavar="CARD",
            help="a card: its key, number, Google object id or Apple serial number",
        )
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="as JSON")
        form.add_argument(
            "--check",
            action="store_true",
            help="one line for Nagios; exit 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN",
        )

    def handle(self, **options: Any) -> None:
        if options["check"]:
            self._check(options["card"])
            return
        try:
            if options["card"] is not None:
                self._show_card(options["card"], as_json=options["json"])
            else:
                self._show_everything(as_json=options["json"])
        except DatabaseFailure as error:
            raise CommandError(
                f"The database cannot be read ({type(error).__name__}). Run: manage.py wallet_doctor",
                returncode=UNKNOWN,
            ) from error

    def _show_everything(self, *, as_json: bool) -> None:
        status = read_status()
        if as_json:
            self._write_json(status_as_dict(status, is_for_operators=True))
        else:
            print_status(status, console_for(self.stdout))

    def _check(self, card: str | None) -> None:
        if card is not None:
            raise CommandError("--check is about everything: it takes no card.", returncode=UNKNOWN)
        try:
            # Where cron calls this, it is the one who sees that no run ends any more.
            with suppress(ImproperlyConfigured):
                check_alarms()
            status = read_status()
        except Exception as error:
            self.stdout.write(f"WALLET UNKNOWN - {type(error).__name__}: no status to be had")
            sys.exit(UNKNOWN)
        self.stdout.write(nagios_line(status))
        sys.exit(EXITS[status.level])

    def _show_card(self, text: str, *, as_json: bool) -> None:
        try:
            [key] = find_card_keys([text])
        except SelectionError as error:
            raise CommandError(str(error), returncode=USAGE) from error
        views = look_at_card(key)
        if as_json:
            self._write_json(card_as_dict(key, views))
        else:
            print_card(key, views, console_for(self.stdout))

    def _write_json(self, content: dict[str, Any]) -> None:
        self.stdout.write(json.dumps(content, indent=2, default=str))
