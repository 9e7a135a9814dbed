"""What push services said of devices, on record with the passes that they were told of."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime

from django.db import connections, router, transaction
from django.db.models import Count, OuterRef, Subquery

from ...models import AppleDevice, AppleRegistration, WalletPass
from ...wallets.base import PushAnswer, PushTarget
from ..pump.jobs import Job
from .throttle import score_after_push

logger = logging.getLogger("loyalty_wallet.sync")

MOST_ID_LENGTH = 64


def record_pushes(jobs: Iterable[Job], using: str) -> None:
    """Write which devices were told, and drop the ones that are gone; part of the ledger's work."""
    targets = [target for job in jobs if job.update for target in job.update.targets]
    accepted = [target for target in targets if target.answer is PushAnswer.ACCEPTED]
    if accepted:
        _note_accepted(accepted, using)
    for target in targets:
        if target.answer is PushAnswer.GONE and target.answered_at:
            drop_device(target.push_token, target.gone_since or target.answered_at, using)


class BadTargets:
    """The devices whose tokens the push service did not know, over a run.

    They are forgotten at its end, if it knew anybody else's and did not stop the wallet: asked at
    the wrong service, every token is bad.
    """

    def __init__(self) -> None:
        self._bad: list[PushTarget] = []
        self._is_right_service = False

    def note(self, jobs: Iterable[Job]) -> None:
        for target in (target for job in jobs if job.update for target in job.update.targets):
            if target.answer is PushAnswer.BAD_TOKEN:
                self._bad.append(target)
            elif target.answer is PushAnswer.ACCEPTED:
                self._is_right_service = True

    def drop(self) -> None:
        """Forget these devices, unless they have sent their tokens again since."""
        if self._bad and not self._is_right_service:
            logger.warning(
                "The push service knew none of %d push tokens. They are kept: is apns_url right, "
                "and the certificate that of the pass type?",
                len(self._bad),
            )
            return
        using = router.db_for_write(AppleDevice)
        for target in self._bad:
            if target.answered_at:
                with transaction.atomic(using=using):
                    drop_device(target.push_token, target.answered_at, using)


def drop_device(push_token: str, known_since: datetime, using: str) -> None:
    """Forget the device with this token, unless it has sent the token again since."""
    gone = AppleDevice.objects.using(using).filter(
        push_token=push_token, token_refreshed_at__lt=known_since
    )
    passes = WalletPass.objects.using(using)
    held = list(passes.filter(registrations__device__in=gone).values_list("pk", flat=True))
    gone.delete()
    passes.filter(pk__in=held, registrations__isnull=True).update(
        presence=WalletPass.Presence.REMOVED,
        presence_source=WalletPass.PresenceSource.ANSWER,
        presence_at=known_since,
    )


def _note_accepted(targets: list[PushTarget], using: str) -> None:
    told_at = {target.key: target.answered_at for target in targets if target.answered_at}
    registrations = AppleRegistration.objects.using(using).filter(pk__in=told_at)
    version = WalletPass.objects.filter(pk=OuterRef("wallet_pass")).values("change_tag")
    registrations.update(pushed_tag=Subquery(version[:1]), last_pushed_at=max(told_at.values()))
    by_key = {target.key: target for target in targets}
    _count_for_throttle(
        {device: by_key[key] for key, device in registrations.values_list("pk", "device")}, using
    )


def _count_for_throttle(told: dict[int, PushTarget], using: str) -> None:
    """Count one push a device, however many of its passes it spoke of."""
    pushed_at = {pk: target.answered_at for pk, target in told.items() if target.answered_at}
    devices = AppleDevice.objects.using(using).filter(pk__in=pushed_at)
    connection = connections[using]
    quote = connection.ops.quote_name
    statement = f"""
        UPDATE {quote(AppleDevice._meta.db_table)}
        SET throttle_score = %s, last_pushed_at = %s, last_apns_id = %s
        WHERE id = %s
    """  # noqa: S608 (quoted names, bound values)  # nosec B608
    rows = [
        (
            score_after_push(score, last_pushed_at=last, pushed_at=pushed_at[pk], passes=passes),
            connection.ops.adapt_datetimefield_value(pushed_at[pk]),
            told[pk].push_id[:MOST_ID_LENGTH],
            pk,
        )
        for pk, score, last, passes in devices.annotate(passes=Count("registrations")).values_list(
            "pk", "throttle_score", "last_pushed_at", "passes"
        )
        # The same push may have been recorded with an earlier batch.
        if last is None or last < pushed_at[pk]
    ]
    with connection.cursor() as cursor:
        cursor.executemany(statement, rows)
