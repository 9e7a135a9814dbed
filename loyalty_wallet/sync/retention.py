"""How long history is kept, and how it goes: in short transactions, oldest first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import models, transaction
from django.db.models import Count
from django.utils import timezone

from ..models import GoogleCallback, SyncAlert, SyncBatch, SyncFailure, SyncRun, WalletAudit

CHUNK_SIZE = 1000
"""Rows that go in one transaction."""
CALLBACK_MARGIN = timedelta(days=1)
"""For which a nonce is kept after its message has expired: clocks differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Days after which runs, audits and alarms go, batches are summed up, and resolved failures go."""

    runs: int = 400
    batches: int = 30
    failures: int = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """How many rows went, or would go."""

    runs: int
    batches: int
    failures: int
    audits: int
    alerts: int
    callbacks: int


def prune(retention: Retention, *, dry_run: bool = False) -> Pruned:
    """Remove history that is older than `retention`.

    The batches of an old run are summed up into one a wallet, so that its totals stay right.
    Failures that nothing has resolved stay as long as their run.
    """
    now = timezone.now()
    long_ago = now - timedelta(days=retention.runs)
    runs = SyncRun.objects.filter(finished_at__lt=long_ago, active_key=None)
    failures = SyncFailure.objects.filter(resolved_at__lt=now - timedelta(days=retention.failures))
    before = now - timedelta(days=retention.batches)
    audits = WalletAudit.objects.filter(finished_at__lt=long_ago)
    alerts = SyncAlert.objects.filter(resolved_at__lt=long_ago)
    callbacks = GoogleCallback.objects.filter(expires_at__lt=now - CALLBACK_MARGIN)
    if dry_run:
        return Pruned(
            runs=runs.count(),
            batches=sum(surplus for *_, surplus in _surplus_batches(before)),
            failures=failures.count(),
            audits=audits.count(),
            alerts=alerts.count(),
            callbacks=callbacks.count(),
        )
    # A run takes thousands of rows with it: they go first, so that no transaction is long.
    for history in (SyncFailure, SyncBatch):
        _delete_in_chunks(history._default_manager.filter(run__in=runs))
    return Pruned(
        runs=_delete_in_chunks(runs),
        batches=sum(_sum_up(run_id, wallet) for run_id, wallet, _ in _surplus_batches(before)),
        failures=_delete_in_chunks(failures),
        audits=_delete_in_chunks(audits),
        alerts=_delete_in_chunks(alerts),
        callbacks=_delete_in_chunks(callbacks),
    )


def _surplus_batches(before: datetime) -> Iterator[tuple[int, str, int]]:
    groups = (
        SyncBatch.objects.filter(run__finished_at__lt=before)
        .values("run_id", "wallet")
        .annotate(rows=Count("pk"))
        .filter(rows__gt=1)
        .order_by("run_id", "wallet")
    )
    for group in list(groups.values_list("run_id", "wallet", "rows")):
        yield group[0], group[1], group[2] - 1


def _sum_up(run_id: int, wallet: str) -> int:
    with transaction.atomic():
        batches = SyncBatch.objects.filter(run_id=run_id, wallet=wallet).order_by("pk")
        total: Counter[str] = Counter()
        for counts in batches.values_list("counts", flat=True):
            total.update(counts)
        kept = batches.first()
        if kept is None:
            return 0
        kept.counts = dict(total)
        kept.save(update_fields=["counts"])
        removed, _ = batches.exclude(pk=kept.pk).delete()
    return removed


def _delete_in_chunks(rows: models.QuerySet[Any]) -> int:
    model = rows.model
    total = last = 0
    while pks := list(
        rows.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:CHUNK_SIZE]
    ):
        last = pks[-1]
        with transaction.atomic():
            _, by_model = model._default_manager.filter(pk__in=pks).delete()
        total += by_model.get(model._meta.label, 0)
    return total
