"""A report for people: first a sentence, then what failed and why, last the line to retry with."""

from __future__ import annotations

from collections import Counter
from typing import TextIO

from django.core.management.base import OutputWrapper
from django.utils.translation import gettext as _
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..exceptions import failure_classes
from ..models import SyncFailure
from ..sync import SyncReport

NARROWEST = 60
MOST_EXAMPLES = 5


def print_summary(
    report: SyncReport, stdout: TextIO | OutputWrapper, *, is_dry_run: bool = False
) -> None:
    """Print the report to `stdout`; coloured only on a terminal."""
    console = Console(file=stdout, highlight=False, soft_wrap=not stdout.isatty())  # type: ignore[arg-type]
    if console.width < NARROWEST:
        console.width = NARROWEST
    console.print(_sentence(report, is_dry_run=is_dry_run))
    for line in report.error.splitlines():
        console.print(Text(line, style="red"))
    if table := _failure_table(report):
        console.print(table)
    for alert in report.alerts:
        console.print(_alert(alert), style="bold yellow")
    if report.failed_cards and report.run_id:
        console.print(f"Retry: manage.py sync_wallet_passes --run {report.run_id}")
    elif report.cards["left"]:
        console.print("Go on: manage.py sync_wallet_passes")


def _sentence(report: SyncReport, *, is_dry_run: bool) -> Text:
    cards = report.cards
    who = "Dry run" if is_dry_run else f"Run {report.run_id}"
    if not cards["selected"]:
        return Text(f"{who}: no card was due.")
    verbs = ("to send", "unchanged") if is_dry_run else ("brought up to date", "already right")
    words = {"synced": verbs[0], "unchanged": verbs[1]}
    parts = [
        f"{cards[name]:,} {words.get(name, name)}"
        for name in ("synced", "unchanged", "failed", "deferred", "left")
        if cards[name]
    ]
    sentence = f"{who}: {cards['selected']:,} cards: {', '.join(parts)}"
    style = "bold red" if report.failed_cards or cards["left"] else "bold green"
    return Text(f"{sentence} ({report.duration_seconds or 0:.1f} s).", style=style)


def _failure_table(report: SyncReport) -> Table | None:
    if report.run_id is None:
        by_code = Counter(failure.code for failure in report.failures)
    else:
        codes = SyncFailure.objects.filter(run=report.run_id).values_list("code", flat=True)
        by_code = Counter(codes.iterator())
    if not by_code:
        return None
    remedies = {code: failure.remedy for code, failure in failure_classes().items()}
    table = Table("failed", "code", "cards", "message", "what to do", show_lines=True)
    for code, count in by_code.most_common():
        examples = [failure for failure in report.failures if failure.code == code]
        cards = ", ".join(failure.card_id for failure in examples[:MOST_EXAMPLES])
        table.add_row(
            f"{count:,}",
            code,
            cards + (" …" if count > MOST_EXAMPLES else ""),
            examples[0].message if examples else "",
            _(remedies.get(code, "")),
        )
    return table


def _alert(alert: dict[str, float | str]) -> str:
    match alert["code"]:
        case "failure_rate":
            return f"Alert: {float(alert['value']):.1%} of the cards failed (limit {float(alert['threshold']):.0%})."
        case "duration":
            return f"Alert: the run took {alert['value']:.0f} s (limit {alert['threshold']:.0f} s)."
        case _:
            return f"Alert: {alert['value']} cards failed (limit {alert['threshold']})."
