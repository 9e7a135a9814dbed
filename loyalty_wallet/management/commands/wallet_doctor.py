from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from rich.text import Text

from ...monitoring.doctor import Finding, Grade, examine
from ..terminal import console_for

SOMETHING_WRONG = 1

_MARKS = {
    Grade.GOOD: ("✓", "green"),
    Grade.NOTE: ("·", ""),
    Grade.WARNING: ("!", "bold yellow"),
    Grade.ERROR: ("✗", "bold red"),
}


class Command(BaseCommand):
    help = (
        "Find out why cards do not reach the phones, and print the line that mends it: keys, dates, "
        "permissions, URLs, schedule, workers. Exit status: 0 nothing is wrong, 1 something is."
    )
    # What is wrong with the settings is this command's own finding.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--online",
            action="store_true",
            help="also ask Google, Apple, the public URLs, Redis and the workers",
        )
        parser.add_argument("--json", action="store_true", help="the findings as JSON")

    def handle(self, **options: Any) -> None:
        found = examine(is_online=options["online"])
        bad = [finding for finding in found if finding.grade.is_bad]
        if options["json"]:
            content = {"is_well": not bad, "findings": [asdict(finding) for finding in found]}
            self.stdout.write(json.dumps(content, indent=2))
        else:
            self._print(found, bad, is_online=options["online"])
        if bad:
            sys.exit(SOMETHING_WRONG)

    def _print(self, found: list[Finding], bad: list[Finding], *, is_online: bool) -> None:
        console = console_for(self.stdout)
        for finding in found:
            mark, style = _MARKS[finding.grade]
            prefix = f"{finding.wallet}: " if finding.wallet else ""
            console.print(Text(f"{mark} {prefix}{finding.text}", style=style))
            if finding.fix:
                console.print(Text(f"  → {finding.fix}"))
        if bad:
            verdict = ngettext(
                "%(count)d thing is wrong.", "%(count)d things are wrong.", len(bad)
            ) % {"count": len(bad)}
        else:
            verdict = _("Nothing is wrong.")
        if not is_online:
            verdict += " " + _("The network was not asked: add --online for that.")
        console.print(Text(verdict, style="bold red" if bad else "bold green"))
        # Warnings come first where one looks first; what keeps cards wrong is more urgent.
        worst = next((finding for finding in bad if finding.grade is Grade.ERROR), None)
        if worst is not None and len(bad) > 1:
            console.print(Text(_("Begin with: %(text)s") % {"text": worst.text}, style="bold"))
            if worst.fix:
                console.print(Text(f"  → {worst.fix}"))
