"""The state of everything for people: first whether all is well, then what is not, then the rest."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..models import SyncRun
from ..monitoring.problems import Level
from ..monitoring.status import Status, WalletStatus
from ..sync.alarms.notices import describe_span

STYLES = {Level.OK: "bold green", Level.DEGRADED: "bold yellow", Level.DOWN: "bold red"}
NOTHING = "-"


def print_status(status: Status, console: Console) -> None:
    """Print all that is known of everything."""
    level = Level.DEGRADED if status.level is Level.OK and status.failing else status.level
    console.print(Text(_headline(status), style=STYLES[level]))
    for problem in status.problems:
        console.print(Text(f"✗ {problem.text}", style=STYLES[problem.level]))
        if problem.remedy:
            console.print(Text(f"  → {problem.remedy}"))
    if status.wallets:
        console.print(_wallets(status))
    for line in _lines(status):
        console.print(Text(line))


def nagios_line(status: Status) -> str:
    """Return one line for Nagios and its kin: the state, why, and figures behind a bar."""
    word = {Level.OK: "OK", Level.DEGRADED: "WARNING", Level.DOWN: "CRITICAL"}[status.level]
    reasons = "; ".join(problem.text for problem in status.problems) or _headline(status)
    oldest = round(status.oldest_seconds or 0)
    figures = (
        f"due={status.due} failing={status.failing} set_aside={status.set_aside} "
        f"oldest={oldest}s;{status.oldest_allowed_seconds:.0f}"
    )
    # A bar or a line break would end the text.
    plain = " ".join(reasons.replace("|", "/").split())
    return f"WALLET {word} - {plain} | {figures}"


def ago(moment: datetime | None, now: datetime) -> str:
    """Return how long ago something was."""
    if moment is None:
        return _("never")
    return _("%(span)s ago") % {"span": _span((now - moment).total_seconds())}


def word(answer: bool | None) -> str:
    return {True: _("yes"), False: _("no"), None: _("unknown")}[answer]


def _span(seconds: float) -> str:
    return describe_span(max(0, round(seconds)))


def _headline(status: Status) -> str:
    match status.level:
        case Level.OK if status.failing:
            # No alarm yet, but no card that is merely on its way either. As on the admin's page.
            return ngettext(
                "Customers see wrong balances: %(count)d card, for %(age)s.",
                "Customers see wrong balances: %(count)d cards, the oldest for %(age)s.",
                status.failing,
            ) % {"count": status.failing, "age": _span(status.oldest_seconds or 0)}
        case Level.OK if status.due:
            return ngettext(
                "All is well; %(count)d card is on its way.",
                "All is well; %(count)d cards are on their way.",
                status.due,
            ) % {"count": status.due}
        case Level.OK:
            return _("All is well: every card is right.")
        case Level.DEGRADED:
            return _("Something needs a look.")
    return _("Customers see wrong cards, or nothing can be delivered.")


def _wallets(status: Status) -> Table:
    """Return a column for each wallet: there are few of them, and much to say of each."""
    table = Table("", *(wallet.alias for wallet in status.wallets), box=SIMPLE_HEAD)
    names = (
        _("configured"),
        _("reachable"),
        _("authorised"),
        _("publishing"),
        _("certificate"),
        _("due"),
        _("failing"),
        _("set aside"),
        _("oldest"),
        _("last success"),
    )
    columns = [_cells(wallet, status.now) for wallet in status.wallets]
    for name, *cells in zip(names, *columns, strict=True):
        table.add_row(name, *cells)
    return table


def _cells(wallet: WalletStatus, now: datetime) -> Iterator[Text]:
    probe = wallet.probe
    bad = "bold red"
    yield Text(word(wallet.is_usable), style="" if wallet.is_usable else bad)
    answers = (probe.is_reachable, probe.is_authorised) if probe else (None, None)
    for answer in answers:
        yield Text(word(answer), style=bad if answer is False else "")
    yield Text(str(probe.get_publishing_display()) if probe else _("unknown"))
    days = wallet.days_left
    yield Text(
        NOTHING
        if days is None
        else ngettext("%(count)d day", "%(count)d days", days) % {"count": days}
    )
    yield Text(f"{wallet.due:,}")
    yield Text(f"{wallet.failing:,}", style=bad if wallet.failing else "")
    yield Text(f"{wallet.set_aside:,}")
    yield Text(NOTHING if wallet.oldest_seconds is None else _span(wallet.oldest_seconds))
    yield Text(ago(wallet.last_success_at, now))


def _lines(status: Status) -> Iterator[str]:
    yield _("Last run: %(run)s") % {"run": _run(status.last_run, status.now)}
    if status.last_success != status.last_run:
        yield _("Last success: %(run)s") % {"run": _run(status.last_success, status.now)}
    schedule = status.schedule
    if schedule.is_installed:
        state = schedule.description if schedule.is_enabled else _("turned off")
        yield _("Schedule: %(schedule)s; next run %(moment)s") % {
            "schedule": state,
            "moment": _moment(schedule.next_run_at),
        }
    else:
        yield _("Schedule: none of Celery beat's; a run is expected every %(span)s.") % {
            "span": describe_span(status.interval_seconds)
        }
    probed = [wallet.probe.checked_at for wallet in status.wallets if wallet.probe]
    yield _("Asked over the network: %(moment)s") % {
        "moment": ago(min(probed, default=None), status.now)
    }
    if not status.has_broker:
        yield _("No broker: changes wait for the next run.")


def _run(run: SyncRun | None, now: datetime) -> str:
    if run is None:
        return _("none")
    parts = [
        _("Run %(number)s") % {"number": run.pk},
        _("stalled") if run.is_stalled else str(run.get_status_display()),
        ago(run.finished_at or run.started_at, now),
    ]
    if run.duration_seconds is not None:
        parts.append(describe_span(run.duration_seconds))
    return ", ".join(parts)


def _moment(moment: datetime | None) -> str:
    return NOTHING if moment is None else f"{timezone.localtime(moment):%Y-%m-%d %H:%M}"
