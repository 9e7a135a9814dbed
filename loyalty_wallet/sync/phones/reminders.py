"""Rings again where a phone was told of a version and has not come for it, or had to wait.

APNs says only that it took a push. A phone that was off for days, or whose fetch failed too often,
stays behind until it is told once more. Nor was a phone told that had got too many pushes lately.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from django.db import router, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from ...models import AppleRegistration, WalletPass
from ...registry import get_wallets
from ...wallets.apple import AppleWallet
from .throttle import MOST_FOR_ONE_PUSH, count_passes, is_bearable

CHUNK_SIZE = 500


def remind() -> int:
    """Mark passes due whose devices are behind and may be told again; return how many."""
    wallets = [wallet for wallet in get_wallets().values() if isinstance(wallet, AppleWallet)]
    # In this order: whoever has had to wait has not been told yet.
    return sum(_take_up(wallet) + _remind(wallet) for wallet in wallets)


def _remind(wallet: AppleWallet) -> int:
    """Tell devices again that were told, some time ago, and have not come."""
    now = timezone.now()
    silent_since = now - timedelta(seconds=wallet.remind_after_seconds)
    behind = (
        _behind(wallet)
        .filter(news_since__lt=silent_since, reminders__lt=wallet.reminders)
        .annotate(told_at=Coalesce("last_pushed_at", "news_since"))
        .filter(told_at__lt=silent_since)
    )
    return sum(_mark(rows, is_reminder=True) for rows in _ready(behind, wallet, now))


def _take_up(wallet: AppleWallet) -> int:
    """Tell devices that were left out because they had got too many pushes, as soon as they may."""
    if wallet.throttle_score is None:
        return 0
    waiting = _behind(wallet).filter(
        news_since__isnull=False,
        pushed_tag__lt=F("wallet_pass__change_tag"),
        device__throttle_score__gt=wallet.throttle_score - MOST_FOR_ONE_PUSH,
    )
    return sum(_mark(rows, is_reminder=False) for rows in _ready(waiting, wallet, timezone.now()))


def _behind(wallet: AppleWallet) -> QuerySet[AppleRegistration]:
    registrations = AppleRegistration.objects.using(router.db_for_write(WalletPass))
    return registrations.filter(
        wallet_pass__wallet=wallet.alias, wallet_pass__due_at__isnull=True
    ).order_by("pk")


def _ready(
    behind: QuerySet[AppleRegistration], wallet: AppleWallet, now: datetime
) -> Iterator[list[AppleRegistration]]:
    """Yield, some at a time, those whose device bears another push."""
    last = 0
    while chunk := list(behind.filter(pk__gt=last).select_related("device")[:CHUNK_SIZE]):
        last = chunk[-1].pk
        passes = count_passes((row.device_id for row in chunk), behind.db)
        yield [
            row
            for row in chunk
            if is_bearable(
                wallet.throttle_score,
                row.device.throttle_score,
                last_pushed_at=row.device.last_pushed_at,
                pushed_at=now,
                passes=passes[row.device_id],
            )
        ]


def _mark(registrations: Sequence[AppleRegistration], *, is_reminder: bool) -> int:
    """Mark the passes due, and forget that the devices were told, all or nothing."""
    using = router.db_for_write(WalletPass)
    with transaction.atomic(using=using):
        if is_reminder:
            AppleRegistration.objects.using(using).filter(
                pk__in=[row.pk for row in registrations]
            ).update(pushed_tag=0, reminders=F("reminders") + 1)
        passes = WalletPass.objects.using(using)
        return passes.filter(pk__in={row.wallet_pass_id for row in registrations}).touch()
