"""What came of a re-sync, in one message."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib import messages
from django.core.exceptions import ImproperlyConfigured
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..exceptions import SelectionError, failure_classes
from ..models import SyncRun
from ..redaction import redact
from ..sync import SyncReport
from .words import remedy, run_link

COMMAND = "manage.py sync_wallet_passes"


@dataclass(frozen=True, slots=True)
class Outcome:
    level: int
    text: SafeString


def misconfigured(error: ImproperlyConfigured) -> Outcome:
    """The settings are wrong, so that nothing could be begun."""
    return _outcome(
        messages.ERROR,
        _("Nothing was sent and nothing was marked: the settings are wrong."),
        redact(str(error)),
    )


def refused(error: SelectionError) -> Outcome:
    """What was asked for does not exist, as a wallet that is not configured."""
    return _outcome(messages.ERROR, _("Nothing was sent."), str(error))


def queued(
    run: SyncRun, cards: int, *, command: str = COMMAND, has_live_worker: bool = True
) -> Outcome:
    """A worker has been told, or the broker did not take the message, or nobody may be there."""
    if run.status == SyncRun.Status.FAILED:
        return _outcome(
            messages.ERROR,
            _("The broker did not take the run. The passes stay due: the next run sends them."),
            _("To start one now:"),
            format_html("<code>{}</code>", command),
            run_link(run.pk),
        )
    text = ngettext(
        "%(count)d card is queued for a worker.",
        "%(count)d cards are queued for a worker.",
        cards,
    ) % {"count": cards}
    if has_live_worker:
        return _outcome(messages.SUCCESS, text, run_link(run.pk))
    return _outcome(
        messages.WARNING,
        text,
        _("No worker answers, so it may wait. To send it without one, run:"),
        format_html("<code>{}</code>", command),
        run_link(run.pk),
    )


def marked(cards: int, *, command: str) -> Outcome:
    """Too many for this request, and no worker: the next run takes them up."""
    return _outcome(
        messages.WARNING,
        ngettext(
            "%(count)d card is marked as due; nothing has been sent yet.",
            "%(count)d cards are marked as due; nothing has been sent yet.",
            cards,
        )
        % {"count": cards},
        _("No broker is configured. To send them now, run:"),
        format_html("<code>{}</code>", command),
    )


def sent(report: SyncReport, cards: int) -> Outcome:
    """The request itself made one attempt for each pass."""
    counts = report.cards
    right = counts["synced"] + counts["unchanged"]
    unseen = cards - counts["selected"]
    parts: list[object] = [
        ngettext("%(count)d card is up to date.", "%(count)d cards are up to date.", right)
        % {"count": right}
    ]
    if failed := report.failed_cards:
        parts.append(
            ngettext("%(count)d card failed.", "%(count)d cards failed.", failed)
            % {"count": failed}
        )
    if left := counts["left"]:
        parts.append(
            ngettext("%(count)d card was not tried.", "%(count)d cards were not tried.", left)
            % {"count": left}
        )
    if unseen > 0:
        parts.append(
            ngettext(
                "%(count)d card has no pass to send, or another worker is sending it.",
                "%(count)d cards have no pass to send, or another worker is sending them.",
                unseen,
            )
            % {"count": unseen}
        )
    parts += [format_html("{}: {}", code, remedy(code)) for code in _codes(report)]
    parts.append(run_link(report.run_id))
    if failed or left:
        return _outcome(messages.WARNING if right else messages.ERROR, *parts)
    return _outcome(messages.WARNING if unseen > 0 else messages.SUCCESS, *parts)


def stop_codes(error: str) -> list[str]:
    """Return the codes of the failures that stopped wallets, from a run's error text."""
    known = failure_classes()
    words = (line.split(": ")[1:2] for line in error.splitlines())
    return [code for (code,) in filter(None, words) if code in known]


def _codes(report: SyncReport) -> list[str]:
    codes = [failure.code for failure in report.failures] + stop_codes(report.error)
    return list(dict.fromkeys(codes))


def _outcome(level: int, *parts: object) -> Outcome:
    return Outcome(level, format_html_join(" ", "{}", ((part,) for part in parts)))
