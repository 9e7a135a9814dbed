from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...sync.importing import (
    COLUMNS,
    MATCHES,
    ImportReport,
    ImportSourceError,
    PassRow,
    import_passes,
    read_csv,
    read_walletpass,
)

BAD_ROWS = 1
USAGE = 2
CONFIGURATION = 3
MOST_SHOWN = 100


class Command(BaseCommand):
    help = (
        "Take over passes that another system has handed out, so that they go on on their phones: "
        "Google object ids, Apple serial numbers, tokens and devices are kept, and the next sync "
        "brings them up to date. All or nothing, unless told to skip bad rows; doing it again "
        "changes nothing. Exit status: 0 all taken over; 1 some rows are bad; 2 usage, or nothing "
        "that can be read; 3 configuration."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument(
            "--from-walletpass",
            action="store_true",
            help="read django-walletpass's tables, the passes of the wallet's pass type",
        )
        names = ", ".join(" or ".join(names) for names in COLUMNS.values())
        source.add_argument(
            "--csv", metavar="FILE", help=f"read a CSV file; its first line names columns: {names}"
        )
        parser.add_argument(
            "--match",
            default="",
            metavar="RULE",
            help=(
                f"what the card column, or django-walletpass's serial number, says of a card: "
                f"{' (its key), '.join(MATCHES)}, or the dotted path of a function that is called "
                "with it and returns the card's key or None; default with --csv: pk"
            ),
        )
        parser.add_argument(
            "--wallet",
            default="",
            metavar="ALIAS",
            help="of rows that name none; default with --from-walletpass: apple",
        )
        parser.add_argument(
            "--database",
            default="default",
            metavar="ALIAS",
            help="where django-walletpass's tables are (default: default)",
        )
        parser.add_argument(
            "--skip-bad", action="store_true", help="take the others over, and list the bad rows"
        )
        parser.add_argument(
            "--replace-unused",
            action="store_true",
            help="let Apple passes give way that were made here and are on no phone",
        )
        parser.add_argument("-n", "--dry-run", action="store_true", help="only look, write nothing")

    def handle(self, **options: Any) -> None:
        try:
            report = self._import(options)
        except ImportSourceError as error:
            raise CommandError(str(error), returncode=USAGE) from error
        except ImproperlyConfigured as error:
            raise CommandError(str(error), returncode=CONFIGURATION) from error
        self.stdout.write(_summary(report, dry_run=options["dry_run"]))
        if report.problems:
            shown = [str(problem) for problem in report.problems[:MOST_SHOWN]]
            if more := len(report.problems) - len(shown):
                shown.append(f"... and {more:,} more.")
            raise CommandError(
                "\n".join([f"Bad rows: {len(report.problems):,}.", *shown]), returncode=BAD_ROWS
            )

    def _import(self, options: dict[str, Any]) -> ImportReport:
        orders = {
            "dry_run": options["dry_run"],
            "skips_bad": options["skip_bad"],
            "replaces_unused": options["replace_unused"],
        }
        if options["from_walletpass"]:
            if not options["match"]:
                raise CommandError(
                    "Say with --match what serial numbers are: card_number, pk, or the dotted path "
                    "of a function.",
                    returncode=USAGE,
                )
            rows = read_walletpass(options["wallet"] or "apple", database=options["database"])
            return import_passes(rows, match=options["match"], **orders)
        with _rows_of(options["csv"], options["wallet"]) as rows:
            return import_passes(rows, match=options["match"] or "pk", **orders)


@contextmanager
def _rows_of(path: str, wallet: str) -> Iterator[Iterator[PassRow]]:
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            yield read_csv(file, wallet=wallet)
    except (OSError, UnicodeError) as error:
        raise ImportSourceError(f"The file cannot be read: {error}") from error


def _summary(report: ImportReport, *, dry_run: bool) -> str:
    """Say in a sentence what has happened, or would."""
    counts = f"{report.passes:,} passes, with {report.devices:,} new registrations of phones"
    known = f"; {report.known:,} passes had been taken over before" if report.known else ""
    if not report.is_written and not dry_run:
        return f"Nothing was taken over, because of bad rows. Good ones: {counts}{known}."
    if dry_run:
        return f"Would take over {counts}{known}. Nothing was written."
    if not (report.passes or report.devices):
        return f"Nothing new{known}."
    return f"Took over {counts}{known}. The next sync brings them up to date."
