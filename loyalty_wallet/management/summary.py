"""A report for people: first a sentence, then what failed and why, last a line to paste."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

from django.core.management.base import OutputWrapper
from django.db.models import Count
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..exceptions import failure_classes
from ..models import SyncFailure
from ..sync import SyncReport
from ..sync.alarms.notices import describe_alert
from .terminal import is_narrow, open_console

COMMAND = "python manage.py sync_wallet_passes"
MOST_EXAMPLES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """The passes of a report that failed with one code."""

    code: str
    count: int
    cards: list[str]
    message: str
    """Of the first of them, in the provider's words."""

    @property
    def is_retryable(self) -> bool:
        failure = failure_classes().get(self.code)
        return failure is not None and failure.is_retryable


def print_summary(
    report: SyncReport, stdout: TextIO | OutputWrapper, *, line_to_go_on: str = COMMAND
) -> None:
    """Print the report of a run; `line_to_go_on` is for what it has left."""
    console = open_console(stdout)
    groups = failure_groups(report)
    console.print(sentence(report, _("Run %(number)s") % {"number": report.run_id}))
    print_stops(report, console)
    print_failures(groups, console)
    for alert in report.alerts:
        text = describe_alert(alert["code"], alert["value"], alert["threshold"])
        console.print(Text(_("Alert: %(sentence)s") % {"sentence": text}, style="bold yellow"))
    if report.cards["left"]:
        console.print(_("What is left stays due. To go on:"))
        print_line(line_to_go_on, console)
    elif report.failed_cards and report.run_id:
        can_go_through = any(group.is_retryable for group in groups)
        console.print(
            _("To try them again:") if can_go_through else _("When that is mended, try them again:")
        )
        print_line(f"{COMMAND} --run {report.run_id}", console)


def sentence(report: SyncReport, who: str) -> Text:
    """Say what became of how many cards."""
    cards = report.cards
    if not cards["selected"]:
        return Text(_("%(who)s: no card was due.") % {"who": who}, style="bold green")
    parts = [
        text % {"count": f"{cards[name]:,}"}
        for name, text in (
            ("synced", _("%(count)s brought up to date")),
            ("unchanged", _("%(count)s already right")),
            ("failed", _("%(count)s failed")),
            ("deferred", _("%(count)s deferred")),
            ("left", _("%(count)s left")),
        )
        if cards[name]
    ]
    style = "bold red" if report.failed_cards or cards["left"] else "bold green"
    text = _("%(who)s: %(cards)s: %(parts)s (%(seconds)s s).") % {
        "who": who,
        "cards": count_cards(cards["selected"]),
        "parts": ", ".join(parts),
        "seconds": f"{report.duration_seconds or 0:.1f}",
    }
    return Text(text, style=style)


def count_cards(count: int) -> str:
    return ngettext("%(count)s card", "%(count)s cards", count) % {"count": f"{count:,}"}


def failure_groups(report: SyncReport) -> list[FailureGroup]:
    """Return the failures by code, the most frequent first."""
    if report.run_id is None:
        codes = [failure.code for failure in report.failures]
        counts = {code: codes.count(code) for code in dict.fromkeys(codes)}
    else:
        failures = SyncFailure.objects.filter(run=report.run_id).order_by()
        counted = failures.values("code").annotate(count=Count("pk"))
        counts = dict(counted.values_list("code", "count"))
    groups = []
    for code, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        examples = [failure for failure in report.failures if failure.code == code]
        cards = dict.fromkeys(failure.card_id for failure in examples)
        groups.append(
            FailureGroup(
                code=code,
                count=count,
                cards=list(cards)[: MOST_EXAMPLES + 1],
                message=examples[0].message if examples else "",
            )
        )
    return groups


def print_failures(groups: list[FailureGroup], console: Console) -> None:
    """Print a row for each code: how many, why, and what to do about it."""
    if not groups:
        return
    if is_narrow(console):
        for group in groups:
            console.print(Text(f"{group.count:,} × {group.code}", style="bold"))  # noqa: RUF001
            console.print(Padding(_explanation(group), (0, 0, 1, 2)))
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(_("passes"), justify="right")
    table.add_column(_("code"), no_wrap=True)
    table.add_column(_("why, and what to do"), ratio=1)
    for group in groups:
        why = (
            _explanation(group)
            if group is groups[-1]
            else Padding(_explanation(group), (0, 0, 1, 0))
        )
        table.add_row(f"{group.count:,}", Text(group.code, style="bold"), why)
    console.print(table)


def print_stops(report: SyncReport, console: Console) -> None:
    """Print what stopped the run or a wallet, each with its remedy."""
    for line in report.error.splitlines():
        console.print(Text(line, style="red"))
        code = next(iter(line.split(": ")[1:2]), "")
        if failure := failure_classes().get(code):
            console.print(Padding(_remedy(_(failure.remedy)), (0, 0, 0, 2)))


def print_line(line: str, console: Console) -> None:
    """Print a line whole, however long: half of one cannot be pasted."""
    console.print(Text(line, style="bold"), soft_wrap=True)


def _explanation(group: FailureGroup) -> RenderableType:
    return Group(*_explaining_lines(group))


def _explaining_lines(group: FailureGroup) -> Iterator[Text]:
    failure = failure_classes().get(group.code)
    if failure is not None:
        yield Text(_(failure.cause))
    if group.message:
        yield Text(f"“{group.message}”", style="italic")
    if failure is not None:
        yield _remedy(_(failure.remedy))
    cards = ", ".join(group.cards[:MOST_EXAMPLES])
    if len(group.cards) > MOST_EXAMPLES:
        cards += " …"
    if cards:
        yield Text(_("Cards: %(cards)s") % {"cards": cards}, style="dim")


def _remedy(text: str) -> Text:
    return Text(f"→ {text}", style="cyan")
