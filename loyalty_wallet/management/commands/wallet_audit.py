from __future__ import annotations

import json
from contextlib import nullcontext
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error as DatabaseFailure

from ...exceptions import SelectionError
from ...models import WalletAudit
from ...sync.drift import audit_wallets, report_of
from ..audit_summary import print_audit
from ..progress import show_audit_progress
from ..stopping import listening

DIFFERS = 1
USAGE = 2
CONFIGURATION = 3
STOPPED_EARLY = 5


class Command(BaseCommand):
    help = (
        "Read back what Google has and compare it with what was delivered: passes that are missing "
        "there, that somebody changed, or that are none of ours. Exit status: 0 nothing differs, or "
        "all of it has been made due; 1 passes are missing or different; 2 usage; 3 configuration "
        "(no wallet to audit); 5 stopped early or the provider could not be read to the end."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--program", default="", metavar="SLUG", help="only this program")
        parser.add_argument("--wallet", default="", metavar="ALIAS", help="only this wallet")
        parser.add_argument(
            "--fix", action="store_true", help="make what is missing or different due"
        )
        parser.add_argument("--json", action="store_true", help="the audits as JSON on stdout")

    def handle(self, **options: Any) -> None:
        try:
            audits = self._audit(options)
        except SelectionError as error:
            raise CommandError(str(error), returncode=USAGE) from error
        except ImproperlyConfigured as error:
            raise CommandError(str(error), returncode=CONFIGURATION) from error
        if not audits:
            raise CommandError(
                "No configured wallet has a provider that lists its passes.",
                returncode=CONFIGURATION,
            )
        if options["json"]:
            self.stdout.write(json.dumps([report_of(audit) for audit in audits], indent=2))
        elif options["verbosity"]:
            for audit in audits:
                print_audit(audit, self.stdout)
        self._exit(audits)

    def _audit(self, options: dict[str, Any]) -> list[WalletAudit]:
        bar = show_audit_progress(self.stderr) if options["verbosity"] else nullcontext()
        with listening() as interrupts:
            try:
                with bar as on_progress:
                    return audit_wallets(
                        wallet=options["wallet"],
                        program=options["program"],
                        fix=options["fix"],
                        stop=interrupts.stop,
                        on_progress=on_progress,
                    )
            except (KeyboardInterrupt, DatabaseFailure) as error:
                # SQLite makes an error of its own of a Ctrl-C that meets one of its functions.
                if interrupts.is_urgent or isinstance(error, KeyboardInterrupt):
                    raise CommandError("Stopped at once.", returncode=STOPPED_EARLY) from error
                raise

    def _exit(self, audits: list[WalletAudit]) -> None:
        broken = [audit for audit in audits if audit.status != WalletAudit.Status.SUCCEEDED]
        if broken:
            was_tried = any(
                audit.counts["requests"] or audit.status == WalletAudit.Status.INTERRUPTED
                for audit in audits
            )
            raise CommandError(
                "\n".join(f"{audit.wallet}: {audit.error}" for audit in broken),
                returncode=STOPPED_EARLY if was_tried else CONFIGURATION,
            )
        differing = sum(
            audit.counts["missing"] + audit.counts["different"] - audit.counts["fixed"]
            for audit in audits
        )
        if differing:
            raise CommandError(
                f"{differing:,} passes are missing or different at their provider.",
                returncode=DIFFERS,
            )
