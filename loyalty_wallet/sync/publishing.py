"""Puts new versions on record, for wallets whose phones fetch their passes from us.

It happens before the push and is committed before it: a phone that is told asks at once, and must
find what it was told of.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from django.db import connections, router, transaction
from django.db.models import F
from django.utils import timezone

from ..models import ApplePassType, AppleRegistration, WalletPass
from ..wallets.base import PushTarget
from .jobs import Job, JobOutcome


def publish(jobs: Iterable[Job]) -> None:
    """Put what is new on record, and give each job the devices that were not told of it.

    A job whose pass is unchanged is taken up again when one of its devices has yet to be told. A
    job whose lease is lost is released.
    """
    rendered = [job for job in jobs if job.update and job.outcome in (None, JobOutcome.UNCHANGED)]
    if not rendered:
        return
    using = router.db_for_write(WalletPass)
    with transaction.atomic(using=using):
        _write_versions([job for job in rendered if job.update and job.update.is_changed], using)
        targets = _untold_devices([job.row.pk for job in rendered], using)
    published_at = time.monotonic()
    for job in rendered:
        if job.update is None or job.outcome is JobOutcome.RELEASED:
            continue
        job.update = replace(
            job.update, targets=targets.get(job.row.pk, ()), published_at=published_at
        )
        if job.update.targets:
            job.outcome = None


def draw_change_tag(pass_type_identifier: str, using: str) -> int:
    """Return the next tag of the pass type, in the transaction that writes the versions under it.

    The UPDATE keeps the counter locked until the commit: no later tag can be seen before this one.
    """
    counters = ApplePassType.objects.using(using).filter(identifier=pass_type_identifier)
    if not counters.update(change_tag=F("change_tag") + 1):
        counters.get_or_create(identifier=pass_type_identifier)
        counters.update(change_tag=F("change_tag") + 1)
    return counters.values_list("change_tag", flat=True).get()


def _write_versions(jobs: Sequence[Job], using: str) -> None:
    by_type: dict[str, list[Job]] = defaultdict(list)
    for job in _still_ours(jobs, using):
        if job.update is not None:
            by_type[job.update.program.remote_id].append(job)
    for pass_type, group in sorted(by_type.items()):
        _write_tagged(group, draw_change_tag(pass_type, using), using)


def _write_tagged(jobs: Sequence[Job], tag: int, using: str) -> None:
    pks = [job.row.pk for job in jobs]
    passes = WalletPass.objects.using(using).filter(pk__in=pks)
    earlier = dict(passes.values_list("pk", "modified_at"))
    now = timezone.now()
    connection = connections[using]
    quote = connection.ops.quote_name
    statement = f"""
        UPDATE {quote(WalletPass._meta.db_table)}
        SET payload = %s, fingerprint = %s, change_tag = %s, modified_at = %s
        WHERE id = %s
    """  # noqa: S608
    rows = [
        (
            job.body,
            job.fingerprint,
            tag,
            connection.ops.adapt_datetimefield_value(_unique_second(now, earlier[job.row.pk])),
            job.row.pk,
        )
        for job in jobs
    ]
    with connection.cursor() as cursor:
        cursor.executemany(statement, rows)
    behind = AppleRegistration.objects.using(using).filter(wallet_pass__in=pks)
    behind.filter(news_since__isnull=True).update(news_since=now)
    behind.update(reminders=0)


def _still_ours(jobs: Sequence[Job], using: str) -> list[Job]:
    passes = WalletPass.objects.using(using).select_for_update()
    holders = dict(
        passes.filter(pk__in=[job.row.pk for job in jobs]).values_list("pk", "lease_token")
    )
    for job in jobs:
        if holders.get(job.row.pk) != job.lease.token:
            job.finish(JobOutcome.RELEASED)
    return [job for job in jobs if job.outcome is not JobOutcome.RELEASED]


def _unique_second(now: datetime, earlier: datetime | None) -> datetime:
    """Return the second that names a version: phones tell versions apart by it alone."""
    second = now.replace(microsecond=0)
    return second if earlier is None else max(second, earlier + timedelta(seconds=1))


def _untold_devices(pks: Sequence[int], using: str) -> dict[int, list[PushTarget]]:
    untold = AppleRegistration.objects.using(using).filter(
        wallet_pass__in=pks, pushed_tag__lt=F("wallet_pass__change_tag")
    )
    targets: dict[int, list[PushTarget]] = defaultdict(list)
    for pk, key, push_token in untold.values_list("wallet_pass", "pk", "device__push_token"):
        targets[pk].append(PushTarget(key=key, push_token=push_token))
    return targets
