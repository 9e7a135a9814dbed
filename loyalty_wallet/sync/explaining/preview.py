"""What a run would do, without a request, a lease or a write."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet
from django.utils import timezone

from ...models import AppleRegistration, SyncRun, SyncState, WalletPass
from ...sources import get_card_source
from ...wallets.base import Wallet
from ..discovery import SCOPE, window_start
from ..leases import ClaimedPass, Lease
from ..outbox import CHUNK_SIZE, in_chunks
from ..pump.jobs import Job, JobOutcome
from ..pump.rendering import Renderer
from ..report import CardFailure, SyncReport, count_jobs, wallet_counts
from ..selection import Kind, Selection

REQUESTS_FOR_NEW = 2
"""A provider that does not know a pass yet is asked for it, then told of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletForecast:
    """What a run would ask of one wallet."""

    alias: str
    sends: int
    """Passes that would be sent."""
    requests: int
    """Requests, or pushes to phones, if each goes through at once and no program has changed."""
    requests_per_second: float | None
    is_published: bool
    """The requests are pushes: phones fetch their passes from us."""

    @property
    def seconds(self) -> float | None:
        """How long the requests take at least at the wallet's rate limit; None without one."""
        if self.requests_per_second is None:
            return None
        return self.requests / self.requests_per_second


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """A report of what a run would do, and what it would take."""

    report: SyncReport
    wallets: Sequence[WalletForecast]
    first: Mapping[str, Sequence[int]]
    """The first cards that have something to send, by their keys: primary keys of those passes."""

    @property
    def seconds(self) -> float | None:
        """How long it takes at least; None where no wallet with something to send has a limit."""
        known = [w.seconds for w in self.wallets if w.requests and w.seconds is not None]
        return math.ceil(max(known)) if known else None


class _Sends:
    """The passes of one wallet that would be sent, and how many of them are new to it."""

    def __init__(self, wallet: Wallet) -> None:
        self.wallet = wallet
        self.pks: list[int] = []
        self.new = 0

    def take(self, job: Job) -> None:
        is_new = job.row.synced_at is None and "created" in self.wallet.count_names
        job.finish(JobOutcome.CREATED if is_new else JobOutcome.UPDATED)
        self.pks.append(job.row.pk)
        self.new += is_new

    def forecast(self) -> WalletForecast:
        requests = len(self.pks) + self.new * (REQUESTS_FOR_NEW - 1)
        if self.wallet.is_published:
            requests = _count_phones(self.pks)
        return WalletForecast(
            alias=self.wallet.alias,
            sends=len(self.pks),
            requests=requests,
            requests_per_second=self.wallet.requests_per_second,
            is_published=self.wallet.is_published,
        )


def preview_sync(
    selection: Selection, *, limit: int | None = None, force: bool = False
) -> SyncReport:
    """Compare what the selected passes should be with what was delivered, and report that.

    `created` and `updated` are the passes that would be sent. Raises SelectionError.
    """
    return forecast_sync(selection, limit=limit, force=force).report


def forecast_sync(
    selection: Selection, *, limit: int | None = None, force: bool = False, keep: int = 0
) -> Forecast:
    """Do what `preview_sync` does and say what the run would take; name the first `keep` cards."""
    selection.checked()
    started_at = timezone.now()
    jobs: list[tuple[str, Job]] = []
    sends = [_Sends(wallet) for wallet in selection.wallets]
    first: dict[str, list[int]] = {}
    for sent in sends:
        renderer = Renderer(sent.wallet)
        for rows in _selected(selection, sent.wallet.alias):
            taken = rows if limit is None else rows[: max(0, limit - len(jobs))]
            if force:
                taken = [row._replace(is_forced=True) for row in taken]
            for job in renderer.render(Lease(0), taken):
                if job.outcome is None:
                    sent.take(job)
                    if job.row.card_key in first or len(first) < keep:
                        first.setdefault(job.row.card_key, []).append(job.row.pk)
                # Thousands of payloads are not kept for a count.
                job.update = None
                jobs.append((sent.wallet.alias, job))
    return Forecast(
        report=_report(jobs, started_at),
        wallets=[sent.forecast() for sent in sends],
        first=first,
    )


def _report(jobs: Sequence[tuple[str, Job]], started_at: datetime) -> SyncReport:
    totals: dict[str, Counter[str]] = {}
    for alias, job in jobs:
        if job.outcome is not None and job.outcome.is_counted:
            totals.setdefault(alias, Counter())[job.outcome.value] += 1
    failures = [
        CardFailure.of_job(alias, job) for alias, job in jobs if job.outcome is JobOutcome.FAILED
    ]
    finished_at = timezone.now()
    return SyncReport(
        run_id=None,
        status=str(SyncRun.Status.PARTIAL if failures else SyncRun.Status.SUCCEEDED),
        trigger=str(SyncRun.Trigger.COMMAND),
        started_at=started_at,
        finished_at=finished_at,
        duration_seconds=(finished_at - started_at).total_seconds(),
        cards=count_jobs(job for _, job in jobs),
        wallets=wallet_counts(totals),
        failed_card_ids=tuple(dict.fromkeys(failure.card_id for failure in failures)),
        failures=tuple(failures),
    )


def _count_phones(pks: Sequence[int]) -> int:
    """Count the phones that hold these passes: each is told once, however many it holds."""
    devices: set[int] = set()
    for start in range(0, len(pks), CHUNK_SIZE):
        held = AppleRegistration.objects.filter(wallet_pass__in=pks[start : start + CHUNK_SIZE])
        devices.update(held.values_list("device", flat=True))
    return len(devices)


def _selected(selection: Selection, alias: str) -> Iterator[list[ClaimedPass]]:
    for scope in selection.scopes():
        passes = WalletPass.objects.filter(scope, wallet=alias)
        if selection.kind is Kind.DUE:
            yield from _rows(passes.due())
            undue = passes.filter(due_at__isnull=True)
            state = SyncState.objects.filter(scope=SCOPE).first()
            changed = get_card_source().changed_since(window_start(state, timezone.now()))
            for chunk in in_chunks(dict.fromkeys(changed)):
                yield from _rows(undue.filter(card_key__in=chunk))
        elif selection.kind in (Kind.FAILED, Kind.RUN):
            yield from _rows(passes.due())
        else:
            left_out = (WalletPass.State.SET_ASIDE, WalletPass.State.ERASED)
            yield from _rows(passes.exclude(state__in=left_out))


def _rows(passes: QuerySet[WalletPass]) -> Iterator[list[ClaimedPass]]:
    rows = passes.order_by("pk").values_list(*ClaimedPass._fields).iterator(chunk_size=500)
    while batch := [ClaimedPass(*row) for _, row in zip(range(500), rows, strict=False)]:
        yield batch
