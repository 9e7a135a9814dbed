from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from ...sync.retention import Retention, prune


class Command(BaseCommand):
    help = (
        "Remove old sync history: runs, resolved failures, and the single batches of old runs, "
        "which are summed up. In short transactions, so that a running sync is not held up."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        defaults = Retention()
        parser.add_argument("--runs", type=int, default=defaults.runs, metavar="DAYS")
        parser.add_argument("--batches", type=int, default=defaults.batches, metavar="DAYS")
        parser.add_argument("--failures", type=int, default=defaults.failures, metavar="DAYS")
        parser.add_argument("-n", "--dry-run", action="store_true", help="only count")

    def handle(self, **options: Any) -> None:
        retention = Retention(
            runs=options["runs"], batches=options["batches"], failures=options["failures"]
        )
        pruned = prune(retention, dry_run=options["dry_run"])
        verb = "Would remove" if options["dry_run"] else "Removed"
        self.stdout.write(
            f"{verb} {pruned.runs:,} runs, {pruned.batches:,} batches, {pruned.failures:,} failures, "
            f"{pruned.audits:,} audits, {pruned.alerts:,} alarms, "
            f"{pruned.callbacks:,} expired callbacks."
        )
