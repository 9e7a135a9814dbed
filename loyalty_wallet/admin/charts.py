"""Small pictures drawn on the server: bars of shares, the strip of runs, the days behind us.

All shapes are SVG attributes and classes: no script, no inline style, nothing from elsewhere. What
a picture shows stands beside it in words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django.urls import reverse
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from ..models import SyncRun
from . import words

STRIP_LENGTH = 40
DAYS = 14
_SIGNS = {words.GOOD: "✓", words.WAITING: "…", words.BAD: "✕", words.IDLE: "·"}


@dataclass(frozen=True, slots=True)
class Cell:
    """One run in the strip."""

    url: str
    tone: str
    sign: str
    """Tells the tones apart where colours do not."""
    text: str
    """What a screen reader reads, and what is shown on hover."""


@dataclass(frozen=True, slots=True)
class Day:
    """What the runs of one local day did to cards; a card counts in each run that was about it."""

    day: date
    synced: int
    failed: int

    @property
    def name(self) -> str:
        return formats.date_format(self.day, "SHORT_DATE_FORMAT")


def rate_bar(part: int, whole: int, *, most: float) -> SafeString:
    """Return a share as a number with a bar; one above `most` says so."""
    is_high = bool(whole) and part / whole > most
    shown = words.share(part, whole)
    title = (
        _("Above %(most)s") % {"most": words.share(round(most * 1000), 1000)} if is_high else shown
    )
    width = max(3, round(100 * part / whole)) if part and whole else 0
    return format_html(
        '<span class="lw-rate{}" title="{}">{}{}'
        '<svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="lw-rate-all" width="100" height="6"/>'
        '<rect class="lw-rate-part" width="{}" height="6"/></svg></span>',
        " lw-rate-high" if is_high else "",
        title,
        shown,
        " ▲" if is_high else "",
        width,
    )


def run_strip() -> list[Cell]:
    """Return the last runs, the oldest first, in one query."""
    return [_cell(run) for run in reversed(SyncRun.objects.order_by("-pk")[:STRIP_LENGTH])]


def last_days(now: datetime | None = None) -> list[Day]:
    """Return the last fourteen local days with what their runs did, today last."""
    today = timezone.localtime(now).date()
    first = today - timedelta(days=DAYS - 1)
    since = timezone.make_aware(datetime.combine(first, time.min))
    runs = SyncRun.objects.filter(started_at__gte=since).order_by()
    synced: Counter[date] = Counter()
    failed: Counter[date] = Counter()
    for started_at, counts in runs.values_list("started_at", "card_counts").iterator():
        if started_at is not None and counts:
            day = timezone.localtime(started_at).date()
            synced[day] += counts.get("synced", 0)
            failed[day] += counts.get("failed", 0) + counts.get("deferred", 0)
    days = [first + timedelta(days=number) for number in range(DAYS)]
    return [Day(day, synced[day], failed[day]) for day in days]


@dataclass(frozen=True, slots=True)
class Bar:
    """One day's column, in percent of the chart's height; `y` counts from its top, as SVG does."""

    day: Day
    synced_y: float
    synced_height: float
    failed_y: float
    failed_height: float


def day_bars(days: Sequence[Day]) -> list[Bar]:
    """Lay the days out: synced upwards from the ground, failed on top of it."""
    highest = max((day.synced + day.failed for day in days), default=0)
    bars = []
    for day in days:
        failed = _height(day.failed, highest)
        synced = min(_height(day.synced, highest), 100 - failed)
        bars.append(Bar(day, 100 - synced, synced, 100 - synced - failed, failed))
    return bars


def _height(count: int, highest: int) -> float:
    # One failed card among ten thousand is still to be seen.
    return max(4.0, round(100 * count / highest, 1)) if count else 0.0


def _cell(run: SyncRun) -> Cell:
    tone = words.run_tone(run)
    text = f"{run}: {words.run_word(run)}"
    if run.started_at is not None:
        moment = formats.date_format(timezone.localtime(run.started_at), "SHORT_DATETIME_FORMAT")
        text += f", {moment}"
    if failed := _failed(run.card_counts):
        text += ", " + _("%(count)d failed") % {"count": failed}
    url = reverse("admin:loyalty_wallet_syncrun_change", args=[run.pk])
    return Cell(url, tone, _SIGNS[tone], text)


def _failed(counts: Mapping[str, int]) -> int:
    return counts.get("failed", 0) + counts.get("deferred", 0)
