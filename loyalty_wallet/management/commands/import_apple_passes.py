from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...registry import get_wallets
from ...sync.importing import OPTIONAL, REQUIRED, import_apple_passes
from ...wallets.apple import AppleWallet

MOST_SHOWN = 20


class Command(BaseCommand):
    help = (
        "Take over Apple passes that another system has handed out, with their serial numbers, "
        "tokens and devices, so that they go on on their phones. All or nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help=f"CSV with the columns {', '.join(REQUIRED + OPTIONAL)}")
        parser.add_argument("--wallet", default="apple", metavar="ALIAS", help="default: apple")
        parser.add_argument("-n", "--dry-run", action="store_true", help="only look for problems")

    def handle(self, **options: Any) -> None:
        wallet = get_wallets().get(options["wallet"])
        if not isinstance(wallet, AppleWallet):
            raise CommandError(f"No Apple wallet {options['wallet']!r} is configured.")
        try:
            with Path(options["file"]).open(encoding="utf-8-sig", newline="") as file:
                rows = csv.DictReader(file)
                lacking = [name for name in REQUIRED if name not in (rows.fieldnames or ())]
                if lacking:
                    raise CommandError(f"The file lacks the columns {', '.join(lacking)}.")
                imported = import_apple_passes(rows, wallet, dry_run=options["dry_run"])
        except (OSError, UnicodeError, csv.Error) as error:
            raise CommandError(f"The file cannot be read: {error}") from error
        if imported.problems:
            shown = "\n".join(imported.problems[:MOST_SHOWN])
            raise CommandError(
                f"Nothing was taken over: {len(imported.problems):,} problems.\n{shown}"
            )
        verb = "Would take over" if options["dry_run"] else "Took over"
        self.stdout.write(f"{verb} {imported.passes:,} passes on {imported.devices:,} devices.")
