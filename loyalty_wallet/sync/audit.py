"""The slow audit: every pass is compared once a day, whatever was or was not announced.

Level-triggered rather than edge-triggered: what neither `touch` nor the window has seen, because
a change bypassed both, is found by looking. Only fingerprints are compared; a pass that differs
becomes due, and the others cost no request.
"""

from __future__ import annotations

import math
from datetime import timedelta

from django.db.models import Max
from django.utils import timezone

from ..models import SyncState, WalletPass
from ..registry import get_wallets
from .leases import ClaimedPass, Lease
from .pump.jobs import Job
from .pump.rendering import Renderer

SCOPE = "audit"
SLICES = 24
"""A run an hour looks at this part of all passes."""
PAUSE = timedelta(minutes=50)
"""Runs that follow each other more closely do not audit again."""
CHUNK_SIZE = 500


def audit() -> int:
    """Compare the next slice of all passes; return how many became due for it.

    The place that was reached is kept after every chunk: a process that dies loses none.
    """
    state, _ = SyncState.objects.get_or_create(scope=SCOPE)
    now = timezone.now()
    if state.scanned_until is not None and now - state.scanned_until < PAUSE:
        return 0
    state.scanned_until = now
    wallets = get_wallets()
    renderers = {alias: Renderer(wallet) for alias, wallet in wallets.items()}
    passes = WalletPass.objects.filter(wallet__in=list(wallets)).exclude(
        state=WalletPass.State.ERASED
    )
    last = passes.aggregate(last=Max("pk"))["last"] or 0
    remaining = math.ceil(passes.count() / SLICES)
    found = 0
    while remaining > 0:
        chunk = list(
            passes.filter(pk__gt=state.cursor)
            .order_by("pk")
            .values_list("wallet", "due_at", *ClaimedPass._fields)[: min(CHUNK_SIZE, remaining)]
        )
        if not chunk:
            break
        for alias, renderer in renderers.items():
            rows = [
                ClaimedPass(*row)
                for wallet, due_at, *row in chunk
                if wallet == alias and not due_at
            ]
            differing = [job.row.pk for job in renderer.render(Lease(0), rows) if _differs(job)]
            if differing:
                found += WalletPass.objects.filter(pk__in=differing).touch()
        remaining -= len(chunk)
        state.cursor = chunk[-1][2]
        state.save(update_fields=["cursor", "scanned_until"])
    if state.cursor >= last:
        state.cursor = 0
    state.save(update_fields=["cursor", "scanned_until"])
    return found


def _differs(job: Job) -> bool:
    """Whether a run would send the pass, or report that it cannot be rendered."""
    return job.outcome is None or not (job.outcome.is_success or not job.outcome.is_counted)
