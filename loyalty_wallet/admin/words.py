"""States, times, errors and scopes in words. A colour only ever repeats what a word says."""

from __future__ import annotations

import shlex
from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..exceptions import SelectionError, failure_classes
from ..models import SyncRun, WalletPass
from ..sync.selection import Kind, Selection

NOTHING = "-"
MOST_KEYS_IN_COMMAND = 20

GOOD, WAITING, BAD, IDLE = "good", "waiting", "bad", "idle"

_RUN_TONES = {
    SyncRun.Status.QUEUED: WAITING,
    SyncRun.Status.RUNNING: WAITING,
    SyncRun.Status.SUCCEEDED: GOOD,
    SyncRun.Status.PARTIAL: BAD,
    SyncRun.Status.FAILED: BAD,
    SyncRun.Status.INTERRUPTED: BAD,
    SyncRun.Status.SKIPPED: IDLE,
}


_ENDED = {
    WalletPass.State.VOIDED: IDLE,
    WalletPass.State.ERASING: WAITING,
    WalletPass.State.ERASED: IDLE,
}
"""Passes of which nothing is left to be right or wrong."""


def badge(word: str, tone: str, *, title: str = "") -> SafeString:
    """Return a word on its colour."""
    return format_html('<span class="lw-badge lw-{}" title="{}">{}</span>', tone, title, word)


def link(url: str, text: object) -> SafeString | str:
    """Return a link, or the text alone where there is no page."""
    return format_html('<a href="{}">{}</a>', url, text) if url else str(text)


def run_link(run_id: int | None) -> SafeString | str:
    if run_id is None:
        return NOTHING
    url = reverse("admin:loyalty_wallet_syncrun_change", args=[run_id])
    return link(url, _("Run %(number)s") % {"number": run_id})


def exactly(moment: datetime) -> str:
    """Return the moment to the second, with its offset from UTC."""
    return timezone.localtime(moment).isoformat(sep=" ", timespec="seconds")


def when(moment: datetime | None, *, is_short: bool = False) -> SafeString | str:
    """Return a moment in local time, its exact value on hover."""
    if moment is None:
        return NOTHING
    style = "SHORT_DATETIME_FORMAT" if is_short else "DATETIME_FORMAT"
    shown = formats.date_format(timezone.localtime(moment), style)
    exact = exactly(moment)
    return format_html(
        '<time class="lw-time" datetime="{}" title="{}">{}</time>', exact, exact, shown
    )


def age(moment: datetime) -> str:
    """Return how long ago something was, in the largest unit that fits."""
    minutes = max(0, int((timezone.now() - moment).total_seconds() // 60))
    if minutes < 1:
        return _("< 1 min")
    if minutes < 60:
        return _("%(number)d min") % {"number": minutes}
    if minutes < 48 * 60:
        return _("%(number)d h") % {"number": minutes // 60}
    return _("%(number)d days") % {"number": minutes // (24 * 60)}


def ago(moment: datetime | None) -> SafeString | str:
    """Return how long ago something was, its exact moment on hover."""
    if moment is None:
        return _("never")
    exact = exactly(moment)
    shown = _("%(age)s ago") % {"age": age(moment)}
    return format_html(
        '<time class="lw-time" datetime="{}" title="{}">{}</time>', exact, exact, shown
    )


def duration(seconds: float | None) -> str:
    if seconds is None:
        return NOTHING
    if seconds < 60:
        return _("%(seconds)s s") % {"seconds": formats.number_format(f"{seconds:.1f}")}
    minutes, rest = divmod(round(seconds), 60)
    return _("%(minutes)d min %(seconds)d s") % {"minutes": minutes, "seconds": rest}


def about(seconds: float) -> str:
    """Return a length of time that is only an estimate."""
    if seconds < 90:
        return _("%(number)d s") % {"number": max(1, round(seconds))}
    if seconds < 90 * 60:
        return _("%(number)d min") % {"number": round(seconds / 60)}
    return _("%(number)d h") % {"number": round(seconds / 3600)}


def share(part: int, whole: int) -> str:
    """Return a share in percent; what is not nothing is never shown as nothing."""
    percent = 100 * part / whole if whole else 0.0
    if part and percent < 0.1:
        return _("< 0.1 %%") % {}
    return _("%(number)s %%") % {"number": formats.number_format(f"{percent:.1f}")}


def cause(code: str) -> str:
    """Return why something failed, in the reader's language."""
    failure = failure_classes().get(code)
    return _(failure.cause) if failure else ""


def remedy(code: str) -> str:
    """Return what to do about a failure, in the reader's language."""
    failure = failure_classes().get(code)
    return _(failure.remedy) if failure else ""


def pass_status(row: WalletPass) -> SafeString:
    """Return whether the phone is right, and if not, since when and why."""
    if row.state == WalletPass.State.SET_ASIDE:
        return badge(
            _("set aside: %(code)s") % {"code": row.last_code} if row.last_code else _("set aside"),
            BAD,
            title=remedy(row.last_code),
        )
    is_erasing = row.state == WalletPass.State.ERASING
    if row.state in _ENDED and (row.due_at is None or (is_erasing and not row.last_code)):
        return badge(row.get_state_display(), _ENDED[WalletPass.State(row.state)])
    if row.due_at is None:
        return badge(_("right"), GOOD)
    if row.last_code:
        return badge(
            _("failing: %(code)s") % {"code": row.last_code}, BAD, title=remedy(row.last_code)
        )
    title = _("Due since %(moment)s") % {"moment": exactly(row.due_at)}
    if row.is_forced:
        return badge(
            _("forced: due since %(age)s") % {"age": age(row.due_at)}, WAITING, title=title
        )
    return badge(_("due since %(age)s") % {"age": age(row.due_at)}, WAITING, title=title)


def run_status(run: SyncRun) -> SafeString:
    if run.is_stalled:
        seen_at = run.heartbeat_at or run.started_at
        title = _("No sign of life since %(moment)s") % {
            "moment": exactly(seen_at) if seen_at else NOTHING
        }
        return badge(run_word(run), BAD, title=title)
    return badge(run_word(run), run_tone(run))


def run_word(run: SyncRun) -> str:
    """Return how a run goes or ended, in one word."""
    return _("stalled") if run.is_stalled else str(SyncRun.Status(run.status).label)


def run_tone(run: SyncRun) -> str:
    return BAD if run.is_stalled else _RUN_TONES[SyncRun.Status(run.status)]


def scope(stored: Any) -> str:
    """Return in words what a run was about."""
    try:
        selection = Selection.from_json(stored)
    except SelectionError:
        return _("unknown")
    words = [_kind(selection)]
    if selection.program:
        words.append(_("program %(program)s") % {"program": selection.program})
    if selection.wallet:
        words.append(_("wallet %(wallet)s") % {"wallet": selection.wallet})
    return ", ".join(words)


def _kind(selection: Selection) -> str:
    if selection.kind is Kind.CARDS:
        count = len(selection.cards)
        if count == 1:
            return _("card %(key)s") % {"key": selection.cards[0]}
        return ngettext("%(count)d card", "%(count)d cards", count) % {"count": count}
    if selection.kind is Kind.RUN:
        return _("what failed in run %(number)s") % {"number": selection.run_id}
    if selection.kind is Kind.SINCE and selection.since is not None:
        since = formats.date_format(timezone.localtime(selection.since), "SHORT_DATETIME_FORMAT")
        return _("changes since %(moment)s") % {"moment": since}
    words = {Kind.FAILED: _("everything that failed"), Kind.ALL: _("all passes")}
    return words.get(selection.kind, _("everything due"))


def command(stored: Any) -> str:
    """Return the command line that syncs the same; empty when it would be too long to paste."""
    try:
        selection = Selection.from_json(stored)
    except SelectionError:
        return ""
    words = ["manage.py", "sync_wallet_passes"]
    match selection.kind:
        case Kind.CARDS if len(selection.cards) > MOST_KEYS_IN_COMMAND:
            return ""
        case Kind.CARDS:
            words += [word for key in selection.cards for word in ("--card", key)]
        case Kind.FAILED:
            words.append("--failed")
        case Kind.RUN:
            words += ["--run", str(selection.run_id)]
        case Kind.SINCE if selection.since is not None:
            words += ["--since", selection.since.isoformat()]
        case Kind.ALL:
            words.append("--all")
    if selection.program:
        words += ["--program", selection.program]
    if selection.wallet:
        words += ["--wallet", selection.wallet]
    return shlex.join(words)
