"""What changed behind our back: the window over the card source, and how far it has looked.

Bulk SQL and imports move balances without `touch`. Before it drains, a full run asks the card
source what changed since the last look and touches it; the comparison of fingerprints then costs
nothing where the phone is right. The watermark moves in the transaction of the touches.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import router, transaction
from django.db.models import Q
from django.utils import timezone

from ..conf import get_conf
from ..models import SyncState, WalletPass
from ..sources import get_card_source
from .outbox import mark_due

SCOPE = "discovery"
OVERLAP = timedelta(minutes=10)
"""Looks back this far behind the last look: a change may be committed after it was stamped."""
FARTHEST = timedelta(days=7)


def discover() -> int:
    """Touch the cards that changed in the window; return how many passes are due for it."""
    now = timezone.now()
    with transaction.atomic(using=router.db_for_write(SyncState)):
        SyncState.objects.get_or_create(scope=SCOPE)
        state = SyncState.objects.select_for_update().get(scope=SCOPE)
        start = window_start(state, now)
        touched = mark_due(get_card_source().changed_since(start), unless=_is_left_aside(start))
        state.scanned_until = now
        state.save(update_fields=["scanned_until"])
    return touched


def touch_expired() -> int:
    """Touch the passes whose card has expired since it was delivered; return how many."""
    expired = WalletPass.objects.filter(expires_at__lte=timezone.now(), due_at__isnull=True)
    return expired.touch()


def _is_left_aside(start: datetime) -> Q:
    """Whoever set a pass aside knew of its change: what changes later is found a window later."""
    return Q(state=WalletPass.State.SET_ASIDE, changed_at__gte=start)


def window_start(state: SyncState | None, now: datetime) -> datetime:
    """Return since when to ask for changes: at least WINDOW back, at most a week."""
    start = now - get_conf().window
    if state is not None and state.scanned_until is not None:
        start = min(start, state.scanned_until - OVERLAP)
    return max(start, now - FARTHEST)
