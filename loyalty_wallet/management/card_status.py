"""One card for people: what its phones should show, what was delivered, and where the two part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..models import WalletPass
from ..sync.explaining.explanation import Verdict, explain_truth, last_failure, verdict_on
from ..sync.explaining.timeline import Reached, Step, devices_of, timeline_of
from ..sync.explaining.truth import FieldTruth, Truth, truths_of

_STYLES = {
    Verdict.RIGHT: "bold green",
    Verdict.ON_ITS_WAY: "bold yellow",
    Verdict.WRONG: "bold red",
    Verdict.UNCERTAIN: "bold yellow",
    Verdict.NOT_SENT: "bold",
}
_MARKS = {Reached.YES: "✓", Reached.PARTLY: "…", Reached.NO: "✗", Reached.NOBODY: "-"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PassView:
    """One pass of the card, with what is to be said of it."""

    truth: Truth
    verdict: Verdict
    explanation: str
    steps: list[Step]


def look_at_card(card_key: str) -> list[PassView]:
    """Return the card's passes, by wallet."""
    passes = list(WalletPass.objects.for_cards([card_key]).order_by("wallet"))
    devices = devices_of(passes)
    return [
        PassView(
            truth=truth,
            verdict=verdict_on(truth, devices[truth.row.pk]),
            explanation=explain_truth(truth, devices[truth.row.pk], last_failure(truth.row)),
            steps=timeline_of(truth, devices[truth.row.pk]),
        )
        for truth in truths_of(card_key, passes)
    ]


def card_as_dict(card_key: str, views: list[PassView]) -> dict[str, Any]:
    """Return what `print_card` says as JSON."""
    return {
        "card_id": card_key,
        "wallets": {
            view.truth.row.wallet: {
                "verdict": view.verdict,
                "explanation": view.explanation,
                "due_since": _iso(view.truth.row.due_at),
                "last_code": view.truth.row.last_code,
                "presence": view.truth.row.presence,
                "fields": [
                    {
                        "path": item.path,
                        "label": _(item.label) if item.label else "",
                        "desired": item.desired,
                        "delivered": item.delivered,
                        "differs": item.differs,
                    }
                    for item in view.truth.fields
                ],
                "steps": [
                    {
                        "name": step.name,
                        "reached": step.reached,
                        "at": _iso(step.at),
                        "note": step.note,
                    }
                    for step in view.steps
                ],
            }
            for view in views
        },
    }


def print_card(card_key: str, views: list[PassView], console: Console) -> None:
    """Print one card, wallet by wallet."""
    label = next((view.truth.row.card_label for view in views), "")
    console.print(Text(_("Card %(key)s") % {"key": card_key} + (f" ({label})" if label else "")))
    if not views:
        console.print(Text(_("It is in no wallet: it has no pass.")))
    for view in views:
        heading = f"{view.truth.row.wallet}: {_word(view.verdict)}"
        console.print()
        console.print(Text(heading, style=_STYLES[view.verdict]))
        console.print(Text(view.explanation))
        if view.truth.fields:
            console.print(_table(view.truth))
        console.print(Text(" → ".join(map(_step, view.steps))))
    if any(view.verdict in (Verdict.WRONG, Verdict.UNCERTAIN) for view in views):
        console.print()
        console.print(Text(f"manage.py sync_wallet_passes --card {card_key}"))


def _word(verdict: Verdict) -> str:
    words = {
        Verdict.RIGHT: _("right"),
        Verdict.ON_ITS_WAY: _("on its way"),
        Verdict.WRONG: _("wrong"),
        Verdict.UNCERTAIN: _("not certain"),
        Verdict.NOT_SENT: _("not sent"),
    }
    return words[verdict]


def _table(truth: Truth) -> Table:
    table = Table("", _("field"), _("should show"), _("was delivered"), box=SIMPLE_HEAD)
    for item in truth.fields:
        if item.label or item.differs:
            table.add_row(*_cells(item), style="bold red" if item.differs else "")
    return table


def _cells(item: FieldTruth) -> Iterator[Text]:
    yield Text("≠" if item.differs else "")
    yield Text(_(item.label) if item.label else item.path)
    for value in (item.desired, item.delivered):
        yield Text("-" if value is None else str(value))


def _step(step: Step) -> str:
    at = "" if step.at is None else f" {timezone.localtime(step.at):%Y-%m-%d %H:%M:%S}"
    note = f" ({step.note})" if step.note else ""
    return f"{_MARKS[step.reached]} {step.name}{at}{note}"


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")
