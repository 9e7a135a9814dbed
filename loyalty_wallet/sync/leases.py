"""Claiming due passes: one writer per pass, whoever else is at work.

Google offers no precondition on a write, so two writers could put an older balance over a newer
one. A pass is therefore leased before it is read, and written only while the lease lives. All
leases are judged by the database's clock.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import connections, router
from django.db.models import Case, F, PositiveSmallIntegerField, Q, QuerySet, When

from ..conf import get_conf
from ..exceptions import LeaseLostError
from ..models import DatabaseNow, WalletPass
from .pump.breaker import OUTAGE_CODES
from .transactions import committed_at_its_end

SUSPECT_AFTER = 2
"""Takeovers after which a pass is claimed alone, so that it can take no other with it."""
KILLER_AFTER = 4
"""Takeovers after which a pass is not tried any more."""


class ClaimedPass(NamedTuple):
    """What delivering needs to know of a leased pass."""

    pk: int
    card_key: str
    remote_id: str
    program_key: str
    card_label: str
    desired_revision: int
    fingerprint: str
    synced_at: datetime | None
    is_forced: bool
    takeovers: int
    failing_runs: int
    last_code: str
    priority: int
    state: str

    @property
    def met_an_outage(self) -> bool:
        """Whether its last failure may have been the provider's."""
        return self.last_code in OUTAGE_CODES


class Lease:
    """The right to deliver the passes of one claim, until `ends_at` of the monotonic clock."""

    def __init__(self, seconds: float) -> None:
        self.token = uuid.uuid4().hex
        self.seconds = seconds
        self.pks: set[int] = set()
        self.lost: set[int] = set()
        self.ends_at = time.monotonic() + seconds

    def check(self, pk: int, *, needed_seconds: float) -> None:
        """Raise LeaseLostError unless the lease on this pass outlives `needed_seconds`."""
        if pk in self.lost or time.monotonic() + needed_seconds > self.ends_at:
            raise LeaseLostError("The lease ends before the request could.")

    def renew(self) -> None:
        """Extend the lease on the passes not yet recorded, and note which ones are lost."""
        started = time.monotonic()
        ours = WalletPass.objects.filter(pk__in=self.pks, lease_token=self.token)
        renewed = ours.update(lease_until=DatabaseNow() + timedelta(seconds=self.seconds))
        if renewed < len(self.pks):
            self.lost |= self.pks - set(ours.values_list("pk", flat=True))
        self.ends_at = started + self.seconds


def claim(
    scope: Q, *, limit: int, is_for_suspects: bool = False, programs: Sequence[str] = ()
) -> tuple[Lease, list[ClaimedPass]]:
    """Lease up to `limit` due passes within `scope`: by priority, then the longest due.

    What nobody has asked for is shared evenly among `programs` first, where some are given.

    A lease that ended without being released counts as a takeover: its request may have reached
    the provider, so nothing is known of what the phone shows. Passes taken over more than once
    are suspected of killing their workers; they are claimed only by who asks for suspects.
    """
    conf = get_conf()
    suspicion = Q(takeovers__gte=SUSPECT_AFTER)
    scope &= suspicion if is_for_suspects else ~suspicion
    lease = Lease(conf.lease_seconds)
    due = WalletPass.objects.due().unleased().filter(scope)
    asked, *others = sorted(WalletPass.Priority.values, reverse=True)
    claimed: list[ClaimedPass] = []

    def take(among: QuerySet[WalletPass], priorities: Iterable[int], most: int) -> None:
        full = min(limit, len(claimed) + most)
        for priority in priorities:
            if len(claimed) < full:
                some = among.filter(priority=priority)
                claimed.extend(_claim(some, lease, full - len(claimed), conf.claim_strategy))

    take(due, [asked], limit)
    even = max(1, (limit - len(claimed)) // max(1, len(programs)))
    for program in programs:
        take(due.filter(program_key=program), others, even)
    take(due, others, limit)
    lease.pks = {row.pk for row in claimed}
    return lease, claimed


def _claim(
    due: QuerySet[WalletPass], lease: Lease, limit: int, strategy: str
) -> Sequence[ClaimedPass]:
    using = router.db_for_write(WalletPass)
    due = due.using(using)
    if strategy == "auto":
        can_skip = connections[using].features.has_select_for_update_skip_locked
        strategy = "skip_locked" if can_skip else "cas"
    # Durable: a lease that is not committed keeps nobody away, and a card that is not must not be
    # sent. Within the caller's transaction this raises SyncInTransactionError.
    with committed_at_its_end(using):
        first = due.order_by("due_at")
        if strategy == "skip_locked":
            first = first.select_for_update(skip_locked=True)
        pks = list(first.values_list("pk", flat=True)[:limit])
        if not pks:
            return []
        # The whole due-predicate again: without it a pass that another worker has delivered and
        # released since the read would be claimed twice.
        # MySQL assigns from left to right: `takeovers` must look at the lease before it is ours.
        due.filter(pk__in=pks).update(
            takeovers=Case(
                When(lease_until__isnull=False, then=F("takeovers") + 1),
                default=F("takeovers"),
                output_field=PositiveSmallIntegerField(),
            ),
            lease_token=lease.token,
            lease_until=DatabaseNow() + timedelta(seconds=lease.seconds),
        )
        ours = WalletPass.objects.using(using).filter(pk__in=pks, lease_token=lease.token)
        rows = ours.order_by("due_at").values_list(*ClaimedPass._fields)
        return [ClaimedPass(*row) for row in rows]
