"""A dry run for people: what would be sent, how long that takes, and what cannot be known."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, TextIO

from django.core.management.base import OutputWrapper
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from rich.console import Console
from rich.text import Text

from ..models import WalletPass
from ..sync.alarms.notices import describe_span
from ..sync.explaining.preview import Forecast, WalletForecast
from ..sync.explaining.truth import FieldTruth, Truth, truths_of
from .summary import count_cards, failure_groups, print_failures
from .terminal import open_console

MOST_FIELDS = 12
"""Differing fields of one pass that are shown."""
LONGEST_VALUE = 60


def print_outlook(forecast: Forecast, stdout: TextIO | OutputWrapper) -> None:
    """Print what a run would do."""
    console = open_console(stdout)
    cards = forecast.report.cards
    console.print(_sentence(forecast))
    for wallet in forecast.wallets:
        if wallet.sends:
            console.print(Text(_of_wallet(wallet)))
    print_failures(failure_groups(forecast.report), console)
    _print_differences(forecast, console)
    if cards["synced"]:
        console.print(_("What a dry run cannot know:"))
        for line in _unknown():
            console.print(Text(f"- {line}", style="dim"))
        console.print(_("The same command without --dry-run sends it."))


def _sentence(forecast: Forecast) -> Text:
    report = forecast.report
    cards = report.cards
    if not cards["selected"]:
        return Text(_("Dry run: no card was due."), style="bold green")
    parts = [
        text % {"count": f"{cards[name]:,}"}
        for name, text in (
            ("synced", _("%(count)s to send")),
            ("unchanged", _("%(count)s already right")),
            ("failed", _("%(count)s would fail")),
        )
        if cards[name]
    ]
    if not cards["synced"]:
        parts.insert(0, _("nothing to send"))
    text = _("Dry run: %(cards)s: %(parts)s. Nothing was sent or written.") % {
        "cards": count_cards(cards["selected"]),
        "parts": ", ".join(parts),
    }
    return Text(text, style="bold red" if cards["failed"] else "bold")


def _of_wallet(wallet: WalletForecast) -> str:
    sends = ngettext("%(count)s pass", "%(count)s passes", wallet.sends)
    requests = (
        ngettext("%(count)s phone to tell", "%(count)s phones to tell", wallet.requests)
        if wallet.is_published
        else ngettext("%(count)s request", "%(count)s requests", wallet.requests)
    )
    parts = ", ".join(
        (sends % {"count": f"{wallet.sends:,}"}, requests % {"count": f"{wallet.requests:,}"})
    )
    parts = f"{wallet.alias}: {parts}"
    if wallet.seconds is None:
        return _(
            "%(parts)s; no rate limit is set, so the provider alone says how long that takes."
        ) % {"parts": parts}
    return _("%(parts)s: at least %(span)s at %(rate)s a second.") % {
        "parts": parts,
        "span": describe_span(max(1, math.ceil(wallet.seconds))),
        "rate": f"{wallet.requests_per_second:g}",
    }


def _print_differences(forecast: Forecast, console: Console) -> None:
    for card_key, pks in forecast.first.items():
        passes = list(WalletPass.objects.filter(pk__in=pks).order_by("pk"))
        for truth in truths_of(card_key, passes):
            console.print()
            console.print(Text(_heading(truth), style="bold"))
            for line in _changes(truth):
                console.print(line)
    unseen = forecast.report.cards["synced"] - len(forecast.first)
    if forecast.first and unseen > 0:
        text = ngettext(
            "… and %(count)s more card; --differences %(all)d shows it, too.",
            "… and %(count)s more cards; --differences %(all)d shows them all.",
            unseen,
        )
        values = {"count": f"{unseen:,}", "all": forecast.report.cards["synced"]}
        console.print()
        console.print(Text(text % values, style="dim"))
    if forecast.first:
        console.print()


def _heading(truth: Truth) -> str:
    label = truth.card.label if truth.card else truth.row.card_label
    named = f"{label} " if label else ""
    text = _("%(label)s(card %(key)s) in %(wallet)s") % {
        "label": named,
        "key": truth.row.card_key,
        "wallet": truth.row.wallet,
    }
    return text if truth.was_delivered else _("%(card)s: new") % {"card": text}


def _changes(truth: Truth) -> Iterator[Text]:
    changes = truth.differences
    if not truth.was_delivered:
        # Of a new pass, everything is news; what people call by a name is what they look for.
        changes = [item for item in changes if item.label]
    for item in changes[:MOST_FIELDS]:
        yield _change(item)
    if (more := len(changes) - MOST_FIELDS) > 0:
        text = ngettext("… and %(count)d more field", "… and %(count)d more fields", more)
        yield Text(f"  {text % {'count': more}}", style="dim")
    if not changes:
        yield Text("  " + _("no field differs; sent all the same"), style="dim")


def _change(item: FieldTruth) -> Text:
    text = Text("  ")
    text.append(_(item.label) if item.label else item.path)
    text.append(": ")
    if item.delivered is not None:
        text.append(_shown(item.delivered), style="red")
        text.append(" → ")
    if item.desired is None:
        text.append(_("(removed)"), style="green")
    else:
        text.append(_shown(item.desired), style="green")
    return text


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def _unknown() -> tuple[str, ...]:
    return (
        _("what the providers really have: it compares with what was delivered last;"),
        _("whether they accept what is sent, and whether they can load its images;"),
        _("what changes until the run, and how many attempts it takes."),
    )
