"""The engine without what makes it safe: proof that the tests would notice."""

from __future__ import annotations

from collections.abc import Sequence

from loyalty_wallet.models import WalletPass
from loyalty_wallet.models.passes import WalletPassQuerySet
from loyalty_wallet.sync.leases import Lease
from loyalty_wallet.sync.ledger import Ledger
from loyalty_wallet.sync.pump.jobs import Job


def apply() -> None:
    """Claim what others hold, send whatever the lease says, record what is not ours."""
    WalletPassQuerySet.unleased = lambda passes: passes  # type: ignore[assignment]
    Lease.check = lambda lease, pk, *, needed_seconds: None  # type: ignore[assignment]
    Ledger._still_ours = _all_of_them  # type: ignore[assignment]


def _all_of_them(ledger: Ledger, jobs: Sequence[Job]) -> list[Job]:
    for job in jobs:
        # The statements that follow name the token; it is written over the other worker's.
        WalletPass.objects.filter(pk=job.row.pk).update(lease_token=job.lease.token)
    return list(jobs)
