"""What of a status is wrong, how bad that is, and what to do about it, in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from ..checks.settings import EXPIRES_SOON_DAYS
from ..sync.alarms.alerts import MOST_INTERVALS
from ..sync.alarms.channels import AGAIN_AFTER
from ..sync.alarms.notices import REMEDIES, describe_alert

if TYPE_CHECKING:
    from ..models import WalletProbe
    from .status import Status, WalletStatus


class Level(StrEnum):
    """How bad it is, from well to worst."""

    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"


PROBES_COUNT_FOR = timedelta(hours=1)
"""What was found longer ago may have been mended since."""

_UNPUBLISHED = ("draft", "rejected", "under_review")
_WORST_FIRST = list(reversed(Level))


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong. `text` may name cards and files: it is for operators alone."""

    code: str
    """For machines; never changes."""
    level: Level
    text: str
    remedy: str = ""
    wallet: str = ""


def find_problems(status: Status) -> list[Problem]:
    """Return what is wrong, the worst first."""
    found = [*_of_everything(status), *_of_runs(status)]
    for wallet in status.wallets:
        found += _of_wallet(wallet)
        if wallet.probe is not None and status.now - wallet.probe.checked_at <= PROBES_COUNT_FOR:
            found += _of_probe(wallet, wallet.probe)
    return sorted(found, key=lambda problem: _WORST_FIRST.index(problem.level))


def _of_everything(status: Status) -> Iterator[Problem]:
    if status.settings_problem:
        yield Problem(
            code="settings",
            level=Level.DOWN,
            text=status.settings_problem,
            remedy=_("Correct LOYALTY_WALLET in the settings, then run: manage.py check"),
        )
    configured = [wallet for wallet in status.wallets if wallet.is_configured]
    is_hopeless = not any(wallet.is_usable for wallet in status.wallets)
    if is_hopeless and (configured or status.due):
        yield Problem(
            code="no_usable_wallet",
            level=Level.DOWN,
            text=_("No wallet can be delivered to."),
            remedy=_("Run: manage.py wallet_doctor"),
        )
    oldest = status.oldest_seconds or 0
    if oldest > status.oldest_allowed_seconds:
        yield _alarm("oldest_due", oldest, status.oldest_allowed_seconds)
    for alert in status.alerts:
        # The other two are measured here and now.
        if alert.code not in ("oldest_due", "no_recent_success"):
            yield _alarm(alert.code, alert.value, alert.threshold)
        if alert.untold and status.now - alert.raised_at > AGAIN_AFTER:
            yield Problem(
                code="untold_alarm",
                level=Level.DEGRADED,
                text=_("The alarm %(code)s has not reached: %(channels)s.")
                % {"code": alert.code, "channels": ", ".join(alert.untold)},
                remedy=_("The log says why; it is tried every two minutes for a day."),
            )


def _of_runs(status: Status) -> Iterator[Problem]:
    patience = MOST_INTERVALS * status.interval_seconds
    oldest = status.oldest_seconds or 0
    age = status.last_success_age_seconds
    # Before the first success, nothing has been missed but by the cards that wait.
    age = oldest if age is None else age
    if age > patience:
        level = Level.DOWN if oldest > patience else Level.DEGRADED
        yield _alarm("no_recent_success", age, patience, level=level)
    if status.is_stalled and status.running is not None:
        yield Problem(
            code="stalled_run",
            level=Level.DEGRADED,
            text=_("Run %(number)s has given no sign of life for minutes.")
            % {"number": status.running.pk},
            remedy=_("Run: manage.py sync_wallet_passes"),
        )
    if status.schedule.is_installed and not status.schedule.is_enabled:
        yield Problem(
            code="schedule_disabled",
            level=Level.DEGRADED,
            text=_("The schedule of the sync is turned off."),
            remedy=_("Enable its periodic task in the admin."),
        )


def _alarm(code: str, value: float, threshold: float, *, level: Level = Level.DEGRADED) -> Problem:
    return Problem(
        code=code,
        level=level,
        text=describe_alert(code, value, threshold),
        remedy=_(REMEDIES[code]) if code in REMEDIES else "",
    )


def _of_wallet(wallet: WalletStatus) -> Iterator[Problem]:
    alias = wallet.alias
    if not wallet.is_configured and wallet.due:
        yield Problem(
            code="not_configured",
            level=Level.DEGRADED,
            wallet=alias,
            text=_("%(count)d passes wait for the wallet %(wallet)s, which is not configured.")
            % {"count": wallet.due, "wallet": alias},
            remedy=_("Add it to LOYALTY_WALLET['WALLETS'], or take it from the programs."),
        )
    if wallet.problem:
        yield Problem(
            code="misconfigured",
            level=Level.DEGRADED,
            wallet=alias,
            text=f"{alias}: {wallet.problem}",
            remedy=_("Correct its OPTIONS, then run: manage.py check"),
        )
    elif wallet.days_left is not None and wallet.days_left < EXPIRES_SOON_DAYS:
        yield Problem(
            code="expires_soon",
            level=Level.DEGRADED,
            wallet=alias,
            text=_("%(wallet)s: the certificate ends in %(days)d days.")
            % {"wallet": alias, "days": wallet.days_left},
            remedy=_("Renew it and put the new one in place of the file; no restart is needed."),
        )
    if wallet.is_breaker_open:
        yield Problem(
            code="breaker_open",
            level=Level.DEGRADED,
            wallet=alias,
            text=_("%(wallet)s: the last run gave up, the provider was down.") % {"wallet": alias},
            remedy=_("Wait: the next run tries again."),
        )


def _of_probe(wallet: WalletStatus, probe: WalletProbe) -> Iterator[Problem]:
    if not wallet.is_usable:
        return
    if probe.is_reachable is False:
        yield Problem(
            code="unreachable",
            level=Level.DEGRADED,
            wallet=wallet.alias,
            text=_("%(wallet)s: the provider cannot be reached.") % {"wallet": wallet.alias},
            remedy=_("Check DNS, firewall, proxy and TLS of this machine."),
        )
    elif probe.is_authorised is False:
        yield Problem(
            code="not_authorised",
            level=Level.DEGRADED,
            wallet=wallet.alias,
            text=_("%(wallet)s: the provider refuses us.") % {"wallet": wallet.alias},
            remedy=_("Run: manage.py wallet_doctor --online"),
        )
    if probe.publishing in _UNPUBLISHED:
        yield Problem(
            code="not_published",
            level=Level.DEGRADED,
            wallet=wallet.alias,
            text=_("%(wallet)s: a program is %(state)s; customers cannot add its cards.")
            % {"wallet": wallet.alias, "state": probe.get_publishing_display()},
            remedy=_("Look at its class in the Google Pay & Wallet Console."),
        )
