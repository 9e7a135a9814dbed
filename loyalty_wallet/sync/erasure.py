"""Cards that leave the wallets for good, and what is left of passes whose card is gone.

An erasure is a due state like any other: the pass is delivered blank and inactive, again and again
until the provider has taken it. Then nothing of the customer is left here either, but for the
card's key, so that it never gets a pass again.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from datetime import timedelta

from django.db import router, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from .. import signals
from ..models import (
    AppleDevice,
    AppleDeviceComplaint,
    AppleRegistration,
    DatabaseNow,
    ErasedCard,
    SyncFailure,
    WalletMessage,
    WalletNotification,
    WalletPass,
)
from ..registry import get_wallets
from ..sources import get_card_source
from ..wallets.apple import AppleWallet
from .pump.jobs import Job

logger = logging.getLogger("loyalty_wallet.sync")

CHUNK_SIZE = 500

State = WalletPass.State


def erase_card(card_key: str) -> int:
    """Erase a card from all wallets, for good; return how many of its passes that concerns.

    From now on it gets no pass, and its links open nothing. Its passes are due at once and until
    the providers have taken it: the Google object inactive and blank, the Apple pass void and
    blank. Then its phones are forgotten, and what history says of it. The row of the card source
    is the shop's own and stays. Runs in the caller's transaction; a worker is woken after the
    commit.
    """
    return erase_cards([card_key])


def erase_cards(card_keys: Iterable[str]) -> int:
    """Do what `erase_card` does with several cards, all or none of them."""
    keys = list(dict.fromkeys(str(key) for key in card_keys))
    using = router.db_for_write(WalletPass)
    count = 0
    with transaction.atomic(using=using):
        for start in range(0, len(keys), CHUNK_SIZE):
            chunk = keys[start : start + CHUNK_SIZE]
            ErasedCard.objects.using(using).bulk_create(
                [ErasedCard(card_key=key) for key in chunk], ignore_conflicts=True
            )
            passes = WalletPass.objects.using(using).filter(card_key__in=chunk)
            count += _mark(passes.exclude(state=State.ERASED))
    signals.passes_touched.send(sender=WalletPass, card_keys=keys)
    return count


def erased_among(card_keys: Iterable[str]) -> set[str]:
    """Return those of these keys whose cards were, or are being, erased."""
    erased = ErasedCard.objects.filter(card_key__in=list(card_keys))
    return set(erased.values_list("card_key", flat=True))


def gone_cards() -> Iterator[str]:
    """Yield the keys of the cards that have passes, but are not in the card source any more."""
    source = get_card_source()
    keys = (
        WalletPass.objects.exclude(state__in=(State.ERASING, State.ERASED))
        .order_by("card_key")
        .values_list("card_key", flat=True)
        .distinct()
    )
    last = ""
    while chunk := list(keys.filter(card_key__gt=last)[:CHUNK_SIZE]):
        last = chunk[-1]
        present = {source.key_for(row) for row in source.rows_for(chunk)}
        yield from (key for key in chunk if key not in present)


def erase_again(pks: Collection[int], using: str) -> int:
    """Let passes be erased once more that were erased, but show something at the provider."""
    return _mark(WalletPass.objects.using(using).filter(pk__in=pks, state=State.ERASED))


def note_blank(jobs: Iterable[Job], using: str) -> None:
    """Write what follows from deliveries of blank passes; part of the ledger's work."""
    delivered = [job for job in jobs if job.is_blank and job.outcome and job.outcome.is_success]
    if not delivered:
        return
    erased = [job.row.pk for job in delivered if job.is_erasure]
    passes = WalletPass.objects.using(using)
    pks = [job.row.pk for job in delivered]
    passes.filter(pk__in=pks).update(card_label="")
    SyncFailure.objects.using(using).filter(wallet_pass__in=pks).update(message="", reason="")
    passes.filter(pk__in=set(pks).difference(erased)).update(state=State.VOIDED)
    # A pass that was being made while its card was erased is not marked yet.
    passes.filter(pk__in=erased).exclude(state=State.ERASED).update(state=State.ERASING)
    finish_erasures(passes.filter(pk__in=erased))


def note_revived(jobs: Iterable[Job], using: str) -> None:
    """Write that the cards of these voided passes are there again."""
    revived = [
        job.row.pk
        for job in jobs
        if job.row.state == State.VOIDED
        and job.update is not None
        and not job.is_blank
        and job.outcome
        and job.outcome.is_success
    ]
    if revived:
        WalletPass.objects.using(using).filter(pk__in=revived).update(state=State.ACTIVE)


def finish_erasures(among: QuerySet[WalletPass] | None = None) -> int:
    """Forget the phones and the last traces of passes that were delivered blank; count them.

    A phone has to fetch the void pass first, or not to have come though it was reminded.
    """
    using = router.db_for_write(WalletPass)
    if among is None:
        among = WalletPass.objects.using(using)
        _forget_phones(list(among.filter(_STRAY).values_list("pk", flat=True)[:CHUNK_SIZE]), using)
    delivered = among.filter(state=State.ERASING, due_at__isnull=True)
    total = 0
    while pks := _done(delivered, using):
        with transaction.atomic(using=using):
            _forget_phones(pks, using)
            for history in (AppleDeviceComplaint, WalletMessage, WalletNotification):
                history._default_manager.using(using).filter(wallet_pass__in=pks).delete()
            total += (
                WalletPass.objects.using(using)
                .filter(pk__in=pks, state=State.ERASING, due_at__isnull=True)
                .update(
                    state=State.ERASED,
                    presence=WalletPass.Presence.UNKNOWN,
                    presence_source="",
                    presence_at=None,
                )
            )
    return total


_STRAY = Q(state=State.ERASED, registrations__isnull=False)
"""A phone registered in the very moment in which the pass was erased."""


def _mark(passes: QuerySet[WalletPass]) -> int:
    return passes.update(
        state=State.ERASING,
        due_at=Coalesce(F("due_at"), DatabaseNow()),
        changed_at=DatabaseNow(),
        # A new revision: whoever holds the pass does not settle this with an older one.
        desired_revision=F("desired_revision") + 1,
        priority=WalletPass.Priority.ASKED,
        is_forced=True,
        failing_runs=0,
        card_label="",
        expires_at=None,
    )


def _done(delivered: QuerySet[WalletPass], using: str) -> list[int]:
    waiting = AppleRegistration.objects.using(using).filter(_waiting()).values("wallet_pass")
    done = delivered.exclude(pk__in=waiting).order_by("pk")
    return list(done.values_list("pk", flat=True)[:CHUNK_SIZE])


def _waiting() -> Q:
    """Return which registrations still have to fetch: told lately, or to be told again."""
    waiting = Q(pk__in=())
    now = timezone.now()
    for wallet in get_wallets().values():
        if isinstance(wallet, AppleWallet):
            patient_since = now - timedelta(seconds=wallet.remind_after_seconds)
            told_lately = Q(last_pushed_at__gte=patient_since) | Q(
                last_pushed_at__isnull=True, news_since__gte=patient_since
            )
            waiting |= Q(wallet_pass__wallet=wallet.alias) & (
                told_lately | Q(reminders__lt=wallet.reminders)
            )
    return waiting & Q(news_since__isnull=False)


def _forget_phones(pks: Collection[int], using: str) -> None:
    if not pks:
        return
    registrations = AppleRegistration.objects.using(using).filter(wallet_pass__in=list(pks))
    devices = set(registrations.values_list("device", flat=True))
    registrations.delete()
    AppleDevice.objects.using(using).filter(pk__in=devices, registrations__isnull=True).delete()
