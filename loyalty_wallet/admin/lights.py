"""The row of lights: each wallet, the schedule, the workers. A word, a colour that repeats it, facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from ..checks.settings import EXPIRES_SOON_DAYS
from ..models import WalletProbe
from ..monitoring.status import Status, WalletStatus
from . import words
from .words import BAD, GOOD, IDLE, NOTHING, WAITING

INSTALL_SCHEDULE = "manage.py install_wallet_schedule"
Publishing = WalletProbe.Publishing
_OPEN_TO_ALL = (Publishing.APPROVED, Publishing.NOT_NEEDED, Publishing.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """One box of the row."""

    title: str
    word: str
    tone: str
    facts: Sequence[tuple[str, SafeString | str]]
    hint: str = ""
    """What to do, where something is wrong."""
    command: str = ""

    @property
    def badge(self) -> SafeString:
        return words.badge(self.word, self.tone)


def read_lights(status: Status, *, has_live_worker: bool, links_passes: bool) -> list[Light]:
    """Return the row; `links_passes` has counts lead to the lists of those passes."""
    wallets = [_wallet(wallet, links_passes=links_passes) for wallet in status.wallets]
    return [*wallets, _schedule(status), _workers(status, has_live_worker=has_live_worker)]


def minutes(seconds: float | None) -> str:
    """Return a length in minutes, however long: what is compared should have one unit."""
    if seconds is None:
        return NOTHING
    return _("< 1 min") if seconds < 60 else _("%(number)d min") % {"number": seconds // 60}


def _wallet(wallet: WalletStatus, *, links_passes: bool) -> Light:
    def count(number: int, state: str) -> SafeString | str:
        if not (links_passes and number):
            return str(number)
        query = urlencode({"wallet": wallet.alias, "status": state})
        return words.link(
            f"{reverse('admin:loyalty_wallet_walletpass_changelist')}?{query}", number
        )

    word, tone = _wallet_state(wallet)
    probe = wallet.probe
    facts: list[tuple[str, SafeString | str]] = [
        (_("configured"), _yes(wallet.is_usable)),
        (_("reachable"), _yes(probe.is_reachable if probe else None)),
        (_("authorised"), _yes(probe.is_authorised if probe else None)),
        (
            _("customers can add cards"),
            str(Publishing(probe.publishing).label) if probe else _("not checked yet"),
        ),
        (_("certificate"), _certificate(wallet)),
        (_("last success"), words.ago(wallet.last_success_at)),
        (_("due"), count(wallet.due, "due")),
        (_("failing"), count(wallet.failing, "failing")),
        (_("set aside"), count(wallet.set_aside, "set_aside")),
        (_("oldest card still wrong"), minutes(wallet.oldest_seconds)),
        (_("checked"), words.ago(probe.checked_at if probe else None)),
    ]
    hint = wallet.problem or (probe.message if probe else "")
    return Light(title=wallet.alias, word=word, tone=tone, facts=facts, hint=hint)


def _wallet_state(wallet: WalletStatus) -> tuple[str, str]:
    """Return the worst thing that is known of a wallet."""
    probe = wallet.probe
    days = wallet.days_left
    states = (
        (not wallet.is_configured, _("not configured"), BAD),
        (bool(wallet.problem), _("settings wrong"), BAD),
        (probe is not None and probe.is_reachable is False, _("not reachable"), BAD),
        (probe is not None and probe.is_authorised is False, _("refuses us"), BAD),
        (days is not None and days < 0, _("certificate expired"), BAD),
        (bool(wallet.is_breaker_open), _("was down in the last run"), BAD),
        (bool(wallet.failing), _("some cards fail"), BAD),
        (days is not None and days < EXPIRES_SOON_DAYS, _("certificate ends soon"), WAITING),
        (
            probe is not None and probe.publishing not in _OPEN_TO_ALL,
            Publishing(probe.publishing).label if probe else "",
            WAITING,
        ),
        (bool(wallet.due), _("cards wait"), WAITING),
    )
    for is_so, word, tone in states:
        if is_so:
            return str(word), tone
    return _("well"), GOOD


def _certificate(wallet: WalletStatus) -> str:
    if wallet.days_left is None:
        return _("none needed") if wallet.is_usable else NOTHING
    if wallet.days_left < 0:
        return _("expired")
    return _("%(number)d days left") % {"number": wallet.days_left}


def _schedule(status: Status) -> Light:
    schedule = status.schedule
    overdue = any(problem.code == "no_recent_success" for problem in status.problems)
    hint = command = ""
    if schedule.is_installed and not schedule.is_enabled:
        word, tone = _("turned off"), BAD
        hint = _("Enable its periodic task in the admin.")
    elif overdue:
        word, tone = _("overdue"), BAD
        hint = _("See that cron, or Celery beat and a worker, are running.")
    elif schedule.is_installed:
        word, tone = _("on"), GOOD
    else:
        word, tone = _("not installed"), IDLE
        hint = _("Let cron run the sync, or install the beat entry:")
        command = INSTALL_SCHEDULE
    last = status.last_success
    facts = [
        (
            _("rhythm"),
            schedule.description
            or _("about every %(length)s") % {"length": words.about(status.interval_seconds)},
        ),
        (_("next run"), words.when(schedule.next_run_at, is_short=True)),
        (_("last success"), words.ago(last.finished_at if last else None)),
        (_("last run"), _run(status)),
    ]
    return Light(title=_("Schedule"), word=word, tone=tone, facts=facts, hint=hint, command=command)


def _run(status: Status) -> SafeString | str:
    run = status.last_run
    return NOTHING if run is None else words.run_link(run.pk)


def _workers(status: Status, *, has_live_worker: bool) -> Light:
    hint = command = ""
    if not status.has_broker:
        word, tone = _("no broker"), IDLE
        hint = _("Nothing is enqueued: the command, or cron, does the work.")
    elif has_live_worker:
        word, tone = _("alive"), GOOD
    else:
        word, tone = _("no answer"), BAD
        hint, command = _("Start one:"), "celery -A PROJECT worker"
    running = status.running
    facts = [
        (_("broker"), _yes(status.has_broker)),
        (
            _("running now"),
            NOTHING if running is None else words.run_link(running.pk),
        ),
        (_("sign of life"), words.ago(running.heartbeat_at if running else None)),
    ]
    if status.is_stalled:
        word, tone = _("run stalled"), BAD
        hint, command = _("The next run takes it over. To start one now:"), _SYNC
    return Light(title=_("Workers"), word=word, tone=tone, facts=facts, hint=hint, command=command)


_SYNC = "manage.py sync_wallet_passes"


def _yes(value: bool | None) -> str:
    if value is None:
        return _("not checked yet")
    return _("yes") if value else _("no")
