"""A worker by hand: it claims and renders, and records what a test says has come of it."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Q

from loyalty_wallet.models import DatabaseNow, WalletPass
from loyalty_wallet.registry import get_wallets
from loyalty_wallet.sync.leases import Lease, claim
from loyalty_wallet.sync.ledger import Ledger
from loyalty_wallet.sync.pump.jobs import Job
from loyalty_wallet.sync.pump.rendering import Renderer


def claim_one(*, is_for_suspects: bool = False) -> tuple[Lease, Job]:
    """Claim and render as a worker does; the job is not delivered."""
    lease, rows = claim(Q(), limit=1, is_for_suspects=is_for_suspects)
    (job,) = Renderer(get_wallets()["google"]).render(lease, rows)
    return lease, job


def claim_all() -> list[Job]:
    """Claim and render everything that is due, the longest due first."""
    lease, rows = claim(Q(), limit=100)
    return Renderer(get_wallets()["google"]).render(lease, rows)


def let_end(lease: Lease) -> None:
    """Let the lease end without a release, as if its holder had died."""
    WalletPass.objects.filter(lease_token=lease.token).update(
        lease_until=DatabaseNow() - timedelta(seconds=1)
    )


def record(job: Job) -> None:
    Ledger(None, worker="test").record("google", [job])
