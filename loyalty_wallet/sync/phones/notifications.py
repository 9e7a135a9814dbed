"""Who is told of a change on the lock screen: hardly ever anybody, and never too often.

Google allows three notifications a pass and kind in 24 hours, and throttles who spends more. What
was asked for is counted here, so that the fourth change comes silently instead of being refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import timedelta

from django.db import router
from django.db.models import Count
from django.utils import timezone

from ...models import WalletNotification, WalletPass
from ..pump.jobs import Job, JobOutcome

MOST = 3
PERIOD = timedelta(hours=24)

Kind = WalletNotification.Kind


def spent_among(pks: Collection[int], kind: WalletNotification.Kind) -> set[int]:
    """Return those of these passes that may not notify anybody now."""
    recent = WalletNotification.objects.filter(
        wallet_pass__in=pks, kind=kind, sent_at__gt=timezone.now() - PERIOD
    )
    counted = recent.order_by().values("wallet_pass").annotate(count=Count("pk"))
    return set(counted.filter(count__gte=MOST).values_list("wallet_pass", flat=True))


def silence_who_had_enough(jobs: Iterable[Job]) -> None:
    """Let these jobs deliver in silence where the pass has notified often enough."""
    loud = [job for job in jobs if job.update is not None and job.update.notify]
    if not loud:
        return
    spent = spent_among([job.row.pk for job in loud], Kind.UPDATE)
    for job in loud:
        if job.row.pk in spent and job.update is not None:
            job.update = replace(job.update, notify=False)
            job.is_muted = True


def record_notifications(jobs: Iterable[Job], using: str) -> None:
    """Count what these jobs asked for, whether or not an answer came; part of the ledger's work."""
    loud = [
        job.row.pk
        for job in jobs
        if job.update is not None
        and job.update.notify
        and job.update.is_changed
        and job.requests
        and not job.was_muted
        # Nobody has what was made just now.
        and job.outcome is not JobOutcome.CREATED
    ]
    if loud:
        count(loud, Kind.UPDATE, using)


def count(pks: Collection[int], kind: WalletNotification.Kind, using: str | None = None) -> None:
    """Count one notification for each of these passes, and forget those that count no more."""
    now = timezone.now()
    notifications = WalletNotification.objects.using(using or router.db_for_write(WalletPass))
    notifications.filter(wallet_pass__in=pks, sent_at__lte=now - PERIOD).delete()
    notifications.bulk_create(
        WalletNotification(wallet_pass_id=pk, kind=kind, sent_at=now) for pk in pks
    )
