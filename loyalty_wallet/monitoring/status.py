"""The state of everything at a glance, from the database and the settings alone.

No network, and a fixed number of queries however many passes there are: what is due is read from
its own partial index.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Count, Min, Q, QuerySet
from django.utils import timezone

from ..conf import Conf, get_conf
from ..models import SyncAlert, SyncBatch, SyncRun, WalletPass, WalletProbe
from ..queueing import has_broker
from ..sync.alarms.beat import Schedule, read_schedule
from .problems import Level, Problem, find_problems
from .setups import Setup, read_setups

LATEST_BATCHES = 50
"""Of the last run, looked at for how it ended in each wallet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletStatus:
    """One wallet: its configuration, what waits for it, and what came of the last tries."""

    alias: str
    provider: str = ""
    """`google`, `apple`, or what another wallet calls itself."""
    is_configured: bool = False
    """False: passes name the wallet, but the settings do not."""
    problem: str = ""
    """What is wrong with its configuration, for the operator; no delivery can succeed."""
    expires_at: datetime | None = None
    """When its certificate ends; None where nothing ends."""
    days_left: int | None = None
    """Whole days until then; negative when it is past."""
    due: int = 0
    """Passes whose phones are wrong, those set aside not among them."""
    failing: int = 0
    """Of the due ones, those whose last delivery failed."""
    set_aside: int = 0
    oldest_due_at: datetime | None = None
    """Since when the one that has been due longest is wrong."""
    oldest_seconds: float | None = None
    last_success_at: datetime | None = None
    """When a run last delivered a card, or left none to deliver."""
    is_breaker_open: bool | None = None
    """Whether the last run gave up on the provider; None if it had nothing to do there."""
    probe: WalletProbe | None = None

    @property
    def is_usable(self) -> bool:
        """Whether anything can be delivered, as far as this machine can tell by itself."""
        return self.is_configured and not self.problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything at one moment."""

    now: datetime
    settings_problem: str
    """LOYALTY_WALLET cannot be read at all; empty when it can."""
    wallets: Sequence[WalletStatus]
    last_run: SyncRun | None
    """The latest run that has begun."""
    last_success: SyncRun | None
    """The latest run over everything that came through, whether or not some cards failed."""
    last_success_age_seconds: float | None
    running: SyncRun | None
    is_stalled: bool
    """The running run has given no sign of life for minutes."""
    schedule: Schedule
    interval_seconds: float
    """How often a run is expected: the schedule's longest pause, or else RUN_INTERVAL."""
    oldest_allowed_seconds: float
    """How long a card may be wrong: ALERT_OLDEST_DUE_SECONDS."""
    has_broker: bool
    alerts: Sequence[SyncAlert]
    """The open ones."""

    @property
    def due(self) -> int:
        return sum(wallet.due for wallet in self.wallets)

    @property
    def failing(self) -> int:
        return sum(wallet.failing for wallet in self.wallets)

    @property
    def set_aside(self) -> int:
        return sum(wallet.set_aside for wallet in self.wallets)

    @property
    def oldest_due_at(self) -> datetime | None:
        moments = [wallet.oldest_due_at for wallet in self.wallets]
        return min((moment for moment in moments if moment is not None), default=None)

    @property
    def oldest_seconds(self) -> float | None:
        return _age(self.oldest_due_at, self.now)

    @property
    def problems(self) -> list[Problem]:
        """What is wrong, the worst first."""
        return find_problems(self)

    @property
    def level(self) -> Level:
        """`down`: cards stay wrong, or nothing can be delivered. `degraded`: look at it today."""
        return next((problem.level for problem in self.problems), Level.OK)


class _Backlog(NamedTuple):
    due: int = 0
    failing: int = 0
    set_aside: int = 0
    oldest_due_at: datetime | None = None


def read_status() -> Status:
    """Return the state of everything. Never raises for what is wrong with the settings."""
    now = timezone.now()
    settings_problem = ""
    try:
        conf, setups = get_conf(), read_setups()
    except ImproperlyConfigured as error:
        conf, setups, settings_problem = Conf(), {}, str(error)
    schedule = read_schedule()
    runs = SyncRun.objects.order_by("-pk")
    last_run = runs.exclude(status__in=(SyncRun.Status.QUEUED, SyncRun.Status.SKIPPED)).first()
    last_success = full_runs(SyncRun.Status.SUCCEEDED, SyncRun.Status.PARTIAL).first()
    running = runs.filter(status=SyncRun.Status.RUNNING).first()
    return Status(
        now=now,
        settings_problem=settings_problem,
        wallets=_read_wallets(setups, last_run, now),
        last_run=last_run,
        last_success=last_success,
        last_success_age_seconds=_age(last_success.finished_at if last_success else None, now),
        running=running,
        is_stalled=running is not None and running.is_stalled,
        schedule=schedule,
        interval_seconds=schedule.expected_seconds(conf.run_interval),
        oldest_allowed_seconds=conf.alert_oldest_due_seconds,
        has_broker=has_broker(),
        alerts=tuple(SyncAlert.objects.open()),
    )


def full_runs(*statuses: str) -> QuerySet[SyncRun]:
    """Return the runs over all cards in all wallets with one of these statuses, latest first."""
    full = SyncRun.objects.filter(status__in=statuses, selection__kind__in=("due", "all"))
    return full.exclude(selection__has_any_keys=("program", "wallet")).order_by("-pk")


def _read_wallets(
    setups: Mapping[str, Setup], last_run: SyncRun | None, now: datetime
) -> list[WalletStatus]:
    backlogs = _read_backlogs()
    breakers = _read_breakers(last_run)
    probes = WalletProbe.objects.in_bulk()
    all_right = full_runs(SyncRun.Status.SUCCEEDED).values_list("finished_at", flat=True).first()
    found = []
    for alias in dict.fromkeys([*setups, *backlogs]):
        wallet, problem = setups.get(alias, Setup(None, ""))
        backlog = backlogs.get(alias, _Backlog())
        expires_at = None if wallet is None else wallet.expires_at()
        moments = (all_right if alias in setups else None, _last_delivery(alias))
        found.append(
            WalletStatus(
                alias=alias,
                provider="" if wallet is None else wallet.provider,
                is_configured=alias in setups,
                problem=problem,
                expires_at=expires_at,
                days_left=None if expires_at is None else (expires_at - now).days,
                **backlog._asdict(),
                oldest_seconds=_age(backlog.oldest_due_at, now),
                last_success_at=max((at for at in moments if at is not None), default=None),
                is_breaker_open=breakers.get(alias),
                probe=probes.get(alias),
            )
        )
    return found


def _read_backlogs() -> dict[str, _Backlog]:
    is_aside = Q(state=WalletPass.State.SET_ASIDE)
    counted = (
        WalletPass.objects.filter(due_at__isnull=False)
        .values("wallet")
        .order_by("wallet")
        .annotate(
            due_count=Count("pk", filter=~is_aside),
            failing_count=Count("pk", filter=~is_aside & ~Q(last_code="")),
            set_aside_count=Count("pk", filter=is_aside),
            oldest=Min("due_at", filter=~is_aside),
        )
    )
    return {
        row["wallet"]: _Backlog(
            row["due_count"], row["failing_count"], row["set_aside_count"], row["oldest"]
        )
        for row in counted
    }


def _read_breakers(last_run: SyncRun | None) -> dict[str, bool]:
    """Say for each wallet of the last run whether it left cards because the provider was down."""
    if last_run is None:
        return {}
    batches = SyncBatch.objects.filter(run=last_run).order_by("-pk")[:LATEST_BATCHES]
    # What is deferred is written last; earlier batches of a wallet say nothing of its end.
    latest: dict[str, bool] = {}
    for alias, counts in batches.values_list("wallet", "counts"):
        latest.setdefault(alias, bool(counts.get("deferred")))
    return latest


def _last_delivery(alias: str) -> datetime | None:
    delivered = Q(counts__updated__gt=0) | Q(counts__created__gt=0)
    batches = SyncBatch.objects.filter(delivered, wallet=alias).order_by("-pk")
    return batches.values_list("created_at", flat=True).first()


def _age(moment: datetime | None, now: datetime) -> float | None:
    return None if moment is None else max(0.0, (now - moment).total_seconds())
