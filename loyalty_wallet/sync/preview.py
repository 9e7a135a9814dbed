"""What a run would do, without a request, a lease or a write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from django.db.models import Q, QuerySet
from django.utils import timezone

from ..models import SyncRun, SyncState, WalletPass
from ..registry import get_wallets
from ..sources import get_card_source
from .discovery import SCOPE, window_start
from .jobs import Job, JobOutcome
from .leases import ClaimedPass, Lease
from .outbox import in_chunks
from .rendering import Renderer
from .report import CardFailure, SyncReport, count_jobs, wallet_counts
from .selection import Kind, Selection


def preview_sync(selection: Selection, *, limit: int | None = None) -> SyncReport:
    """Compare what the selected passes should be with what was delivered, and report that.

    `created` and `updated` are the passes that would be sent. Raises SelectionError.
    """
    selection.checked()
    started_at = timezone.now()
    jobs: list[tuple[str, Job]] = []
    for alias, wallet in get_wallets().items():
        if selection.wallet in ("", alias):
            renderer = Renderer(wallet)
            for rows in _selected(selection, alias):
                taken = rows if limit is None else rows[: max(0, limit - len(jobs))]
                jobs += [(alias, job) for job in _judge(renderer, taken)]
    totals: dict[str, Counter[str]] = {}
    for alias, job in jobs:
        if job.outcome is not None and job.outcome.is_counted:
            totals.setdefault(alias, Counter())[job.outcome.value] += 1
    failures = [
        CardFailure(job.row.card_key, alias, job.failure.code, 0, None, job.failure.message)
        for alias, job in jobs
        if job.outcome is JobOutcome.FAILED
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


def _judge(renderer: Renderer, rows: list[ClaimedPass]) -> Iterable[Job]:
    jobs = renderer.render(Lease(0), rows)
    for job in jobs:
        if job.outcome is None:
            is_new = job.row.synced_at is None
            job.finish(JobOutcome.CREATED if is_new else JobOutcome.UPDATED)
        # Thousands of payloads are not kept for a count.
        job.update = None
    return jobs


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
            yield from _rows(passes.filter(~Q(state=WalletPass.State.SET_ASIDE)))


def _rows(passes: QuerySet[WalletPass]) -> Iterator[list[ClaimedPass]]:
    rows = passes.order_by("pk").values_list(*ClaimedPass._fields).iterator(chunk_size=500)
    while batch := [ClaimedPass(*row) for _, row in zip(range(500), rows, strict=False)]:
        yield batch
