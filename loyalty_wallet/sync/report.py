"""What a sync did: the one answer that the command, the task, the admin and Python give.

Its JSON form is a contract; `report_schema.json` beside this module describes it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any

from django.db.models import Case, Max, Value, When

from ..conf import get_conf
from ..models import SyncFailure, SyncRun, WalletPass
from ..registry import get_wallets
from .pump.jobs import Job, JobOutcome

MOST_LISTED = 1000
CARD_COUNTS = ("selected", "synced", "unchanged", "failed", "deferred", "left")

_RANKS = {
    JobOutcome.UNCHANGED: 1,
    JobOutcome.CREATED: 2,
    JobOutcome.UPDATED: 2,
    JobOutcome.DEFERRED: 3,
    JobOutcome.FAILED: 4,
}
_NAMES = {1: "unchanged", 2: "synced", 3: "deferred", 4: "failed"}


@dataclass(frozen=True, slots=True)
class CardFailure:
    """One pass that is not right yet, and why."""

    card_id: str
    wallet: str
    code: str
    attempts: int
    http_status: int | None
    message: str

    @classmethod
    def of_job(cls, wallet: str, job: Job) -> CardFailure:
        failure = job.failure
        return cls(
            card_id=job.row.card_key,
            wallet=wallet,
            code=failure.code,
            attempts=job.attempts,
            http_status=failure.http_status,
            message=failure.message,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    """The outcome of one run or one real-time delivery.

    `failed_card_ids` are the distinct cards with a failed or deferred pass, `failure_rate` their
    share of the selected cards. Lists are cut at 1,000, counts never.
    """

    run_id: int | None
    status: str
    trigger: str
    started_at: datetime | None
    finished_at: datetime | None
    duration_seconds: float | None
    cards: Mapping[str, int]
    wallets: Mapping[str, Mapping[str, int]]
    failed_card_ids: Sequence[str] = ()
    failures: Sequence[CardFailure] = ()
    error: str = ""
    """What stopped the run or one of its wallets; not part of the JSON form."""
    was_stopped_early: bool = False
    """By its time limit or by hand; not part of the JSON form."""
    untried_wallets: Sequence[str] = ()
    """Aliases that were stopped before a single request; not part of the JSON form."""

    @classmethod
    def of_run(
        cls,
        run: SyncRun,
        *,
        was_stopped_early: bool = False,
        untried_wallets: Sequence[str] = (),
    ) -> SyncReport:
        """Read the report of a run, finished or not, from its record."""
        failures = SyncFailure.objects.filter(run=run)
        totals: dict[str, Counter[str]] = {}
        for alias, counts in run.batches.values_list("wallet", "counts"):
            totals.setdefault(alias, Counter()).update(counts)
        card_keys = failures.order_by().values_list("wallet_pass__card_key", flat=True)
        listed = failures.order_by("pk").values_list(
            "wallet_pass__card_key",
            "wallet_pass__wallet",
            "code",
            "attempts",
            "http_status",
            "message",
        )
        return cls(
            run_id=run.pk,
            status=str(run.status),
            trigger=str(run.trigger),
            started_at=run.started_at,
            finished_at=run.finished_at,
            duration_seconds=run.duration_seconds,
            cards=run.card_counts or count_cards(run),
            wallets=wallet_counts(totals),
            failed_card_ids=tuple(
                card_keys.distinct().order_by("wallet_pass__card_key")[:MOST_LISTED]
            ),
            failures=tuple(CardFailure(*row) for row in listed[:MOST_LISTED]),
            error=run.error,
            was_stopped_early=was_stopped_early,
            untried_wallets=untried_wallets,
        )

    @property
    def failed_cards(self) -> int:
        """How many cards have a failed or deferred pass."""
        return self.cards["failed"] + self.cards["deferred"]

    @property
    def failure_rate(self) -> float:
        selected = self.cards["selected"]
        return round(self.failed_cards / selected, 4) if selected else 0.0

    @property
    def measures(self) -> list[tuple[str, float, float]]:
        """What a run is judged by: code, value and threshold of each alert that it could raise."""
        conf = get_conf()
        selected = self.cards["selected"]
        rate = self.failed_cards / selected if selected else 0.0
        return [
            ("failure_rate", rate, conf.alert_failure_rate),
            ("duration", self.duration_seconds or 0.0, conf.alert_duration_seconds),
            ("failed_cards", self.failed_cards, conf.alert_failed_cards),
        ]

    @property
    def alerts(self) -> list[dict[str, Any]]:
        """The thresholds that this run is above."""
        return [
            {"code": code, "value": round(value, 4), "threshold": threshold}
            for code, value, threshold in self.measures
            if value > threshold
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "run_id": self.run_id,
            "status": self.status,
            "trigger": self.trigger,
            "started_at": _iso(self.started_at),
            "finished_at": _iso(self.finished_at),
            "duration_seconds": self.duration_seconds,
            "cards": dict(self.cards),
            "wallets": {alias: dict(counts) for alias, counts in self.wallets.items()},
            "failed_card_ids": list(self.failed_card_ids),
            "failures": [asdict(failure) for failure in self.failures],
            "failure_rate": self.failure_rate,
            "alerts": self.alerts,
        }


def report_schema() -> dict[str, Any]:
    """Return the JSON Schema of `SyncReport.as_dict`."""
    text = files("loyalty_wallet.sync").joinpath("report_schema.json").read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def count_cards(run: SyncRun, *, left: int = 0) -> dict[str, int]:
    """Count the distinct cards of a run by their worst pass."""
    rank = Case(
        *(When(last_outcome=outcome.value, then=Value(rank)) for outcome, rank in _RANKS.items()),
        default=Value(0),
    )
    cards = WalletPass.objects.filter(last_run=run).values("card_key").annotate(rank=Max(rank))
    return card_counts(Counter(cards.values_list("rank", flat=True).iterator()), left=left)


def count_jobs(jobs: Iterable[Job], *, left: int = 0) -> dict[str, int]:
    """Count the distinct cards of these jobs by their worst pass."""
    ranks: dict[str, int] = {}
    for job in jobs:
        if job.outcome in _RANKS:
            ranks[job.row.card_key] = max(ranks.get(job.row.card_key, 0), _RANKS[job.outcome])
    return card_counts(Counter(ranks.values()), left=left)


def card_counts(by_rank: Mapping[int, int], *, left: int = 0) -> dict[str, int]:
    """Return the counts of cards by name; `selected` is the sum of the others."""
    counts = dict.fromkeys(CARD_COUNTS, 0)
    for rank, name in _NAMES.items():
        counts[name] = by_rank.get(rank, 0)
    counts["left"] = left
    counts["selected"] = sum(counts.values())
    return counts


def wallet_counts(totals: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """Return the counts of every configured wallet, and of former ones that have some."""
    wallets = get_wallets()
    report: dict[str, dict[str, int]] = {}
    for alias in dict.fromkeys([*wallets, *totals]):
        counts = totals.get(alias, {})
        if wallet := wallets.get(alias):
            names = {name: wallet.counted_as.get(name, name) for name in wallet.count_names}
        else:
            names = {name: name for name in counts}
        report[alias] = {name: counts.get(counted, 0) for name, counted in names.items()}
        if muted := counts.get("muted"):
            # Only where there is something to say: most shops notify nobody.
            report[alias]["muted"] = muted
    return report


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
