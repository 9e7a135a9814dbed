"""Rings again where a phone was told of a version and has not come for it.

APNs says only that it took a push. A phone that was off for days, or whose fetch failed too often,
stays behind until it is told once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.db import router, transaction
from django.db.models import Count, F
from django.db.models.functions import Coalesce
from django.utils import timezone

from ..models import AppleRegistration, WalletPass
from ..registry import get_wallets
from ..wallets.apple import AppleWallet
from .throttle import MOST_FOR_REMINDERS, score_after_push

CHUNK_SIZE = 500


def remind() -> int:
    """Mark passes due whose devices are behind and may be told again; return how many."""
    wallets = [wallet for wallet in get_wallets().values() if isinstance(wallet, AppleWallet)]
    return sum(_remind(wallet) for wallet in wallets)


def _remind(wallet: AppleWallet) -> int:
    now = timezone.now()
    silent_since = now - timedelta(seconds=wallet.remind_after_seconds)
    using = router.db_for_write(WalletPass)
    behind = (
        AppleRegistration.objects.using(using)
        .filter(
            news_since__lt=silent_since,
            reminders__lt=wallet.reminders,
            wallet_pass__wallet=wallet.alias,
            wallet_pass__due_at__isnull=True,
        )
        .annotate(told_at=Coalesce("last_pushed_at", "news_since"))
        .filter(told_at__lt=silent_since)
        .order_by("pk")
    )
    total = last = 0
    while chunk := list(behind.filter(pk__gt=last).select_related("device")[:CHUNK_SIZE]):
        last = chunk[-1].pk
        passes = dict(
            AppleRegistration.objects.using(using)
            .filter(device__in={row.device_id for row in chunk})
            .values_list("device")
            .annotate(passes=Count("pk"))
        )
        ready = [
            row
            for row in chunk
            if score_after_push(
                row.device.throttle_score,
                last_pushed_at=row.device.last_pushed_at,
                pushed_at=now,
                passes=passes[row.device_id],
            )
            <= MOST_FOR_REMINDERS
        ]
        total += _mark(ready, using)
    return total


def _mark(registrations: Sequence[AppleRegistration], using: str) -> int:
    """Forget that these devices were told, and mark their passes due, all or nothing."""
    with transaction.atomic(using=using):
        AppleRegistration.objects.using(using).filter(
            pk__in=[row.pk for row in registrations]
        ).update(pushed_tag=0, reminders=F("reminders") + 1)
        passes = WalletPass.objects.using(using)
        return passes.filter(pk__in={row.wallet_pass_id for row in registrations}).touch()
