"""The first page: do customers see wrong balances, why, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .. import queueing
from ..models import WalletPass
from ..monitoring.problems import Level, Problem
from ..monitoring.status import Status, read_status
from . import words
from .charts import Cell, Day, day_bars, last_days, run_strip
from .lights import Light, minutes, read_lights
from .outcomes import COMMAND
from .words import BAD, GOOD, WAITING

MOST_CODES = 5
_STANDSTILL = ("no_worker", "no_recent_success", "schedule_disabled", "stalled_run")
"""While nothing runs, what single cards failed with is the smaller trouble."""
_TONES = {Level.DOWN: BAD, Level.DEGRADED: WAITING, Level.OK: GOOD}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Due passes that failed for one reason."""

    code: str
    passes: int
    cause: str
    remedy: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What the page shows, and what its reader may do."""

    status: Status
    headline: str
    tone: str
    advice: str
    """The one thing to do first; empty when there is nothing to do."""
    problems: Sequence[tuple[str, Problem]]
    """With the tone of each."""
    reasons: Sequence[Reason]
    lights: Sequence[Light]
    strip: Sequence[Cell]
    days: Sequence[Day]
    may_run: bool
    may_check: bool
    may_see_failures: bool
    has_broker: bool
    sync_command: str = COMMAND

    @property
    def bars(self) -> list[Any]:
        return day_bars(self.days)

    @property
    def has_work(self) -> bool:
        return self.status.due > 0

    @property
    def synced(self) -> int:
        return sum(day.synced for day in self.days)

    @property
    def failed(self) -> int:
        return sum(day.failed for day in self.days)


def read_overview(request: HttpRequest) -> Overview | None:
    """Return the overview for whoever may see runs; None for others."""
    user = request.user
    if not user.has_perm("loyalty_wallet.view_syncrun"):
        return None
    status = read_status()
    has_live_worker = queueing.has_live_worker()
    problems = _problems(status, has_live_worker=has_live_worker)
    reasons = _reasons()
    headline, tone = _headline(status, problems)
    return Overview(
        status=status,
        headline=headline,
        tone=tone,
        advice=_advice(problems, reasons),
        problems=[(_TONES[problem.level], problem) for problem in problems],
        reasons=reasons,
        lights=read_lights(
            status,
            has_live_worker=has_live_worker,
            links_passes=user.has_perm("loyalty_wallet.view_walletpass"),
        ),
        strip=run_strip(),
        days=last_days(),
        may_run=user.has_perm("loyalty_wallet.run_sync"),
        may_check=user.has_perm("loyalty_wallet.run_probes"),
        may_see_failures=user.has_perm("loyalty_wallet.view_syncfailure"),
        has_broker=status.has_broker,
    )


def _problems(status: Status, *, has_live_worker: bool) -> list[Problem]:
    problems = status.problems
    if status.has_broker and not has_live_worker:
        level = Level.DOWN if status.due else Level.DEGRADED
        silent = Problem(
            code="no_worker",
            level=level,
            text=_("No Celery worker answers: nothing that is queued will be done."),
            remedy=_("Start one: celery -A PROJECT worker"),
        )
        problems = [silent, *problems] if level is Level.DOWN else [*problems, silent]
    return problems


def _headline(status: Status, problems: Sequence[Problem]) -> tuple[str, str]:
    """Say in one sentence whether customers see wrong balances, and how bad that is."""
    due = _due_cards(status)
    is_bad = bool(problems) or status.failing > 0
    if not due:
        if status.set_aside:
            text = ngettext(
                "%(count)d pass is set aside and may show a wrong balance; all others are right.",
                "%(count)d passes are set aside and may show wrong balances; all others are right.",
                status.set_aside,
            )
            return text % {"count": status.set_aside}, WAITING
        if not status.wallets:
            return _("No wallet is configured: there is nothing to keep true."), WAITING
        text = _("Every phone is right.")
        return (text, GOOD) if not is_bad else (text + " " + _("Yet something is wrong."), WAITING)
    words_of = {"count": due, "age": minutes(status.oldest_seconds)}
    if is_bad:
        text = ngettext(
            "Customers see wrong balances: %(count)d card, for %(age)s.",
            "Customers see wrong balances: %(count)d cards, the oldest for %(age)s.",
            due,
        )
        return text % words_of, BAD
    text = ngettext(
        "%(count)d card waits to be delivered, for %(age)s; that is usual.",
        "%(count)d cards wait to be delivered, the oldest for %(age)s; that is usual.",
        due,
    )
    return text % words_of, WAITING


def _due_cards(status: Status) -> int:
    """Count cards, not passes: a customer has one balance, however many wallets show it."""
    if sum(wallet.due > 0 for wallet in status.wallets) < 2:
        return status.due
    return WalletPass.objects.due().values("card_key").distinct().count()


def _advice(problems: Sequence[Problem], reasons: Sequence[Reason]) -> str:
    """Return the one thing to do first."""
    for problem in problems:
        if problem.remedy and (problem.level is Level.DOWN or problem.code in _STANDSTILL):
            return problem.remedy
    if reasons:
        return reasons[0].remedy
    for problem in problems:
        if problem.remedy:
            return problem.remedy
    return ""


def _reasons() -> list[Reason]:
    """Return why due passes failed, the most frequent reason first."""
    failing = WalletPass.objects.failing().order_by().values("last_code")
    counted = failing.annotate(passes=Count("pk")).order_by("-passes", "last_code")
    url = reverse("admin:loyalty_wallet_syncfailure_changelist")
    return [
        Reason(
            code=code,
            passes=passes,
            cause=words.cause(code),
            remedy=words.remedy(code),
            url=f"{url}?{urlencode({'code': code})}",
        )
        for code, passes in counted.values_list("last_code", "passes")[:MOST_CODES]
    ]
