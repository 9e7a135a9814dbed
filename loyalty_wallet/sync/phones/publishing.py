"""Puts new versions on record, for wallets whose phones fetch their passes from us.

It happens before the push and is committed before it: a phone that is told asks at once, and must
find what it was told of.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from django.db import connections, router
from django.db.models import F
from django.utils import timezone

from ...models import ApplePassType, AppleRegistration, WalletPass
from ...wallets.base import PushTarget, Wallet
from ..pump.jobs import Job, JobOutcome
from ..transactions import in_transaction
from .throttle import MOST_FOR_ONE_PUSH, count_passes, is_bearable


def publish(jobs: Iterable[Job], wallet: Wallet, *, is_urgent: bool = False) -> None:
    """Put what is new on record, and give each job the devices that are to be told of it.

    Left out are devices that would bear no further push now, unless it is urgent, or a person has
    asked for the card: `remind` takes them up again. A job whose pass is unchanged is taken up again when one of its devices has yet to be told. A
    job whose lease is lost is released.
    """
    rendered = [job for job in jobs if job.update and job.outcome in (None, JobOutcome.UNCHANGED)]
    if not rendered:
        return
    using = router.db_for_write(WalletPass)
    ensure_counters({job.update.program.remote_id for job in rendered if job.update}, using)
    changed = [job for job in rendered if job.update and job.update.is_changed]
    limits = {job.row.pk: _limit(job, wallet, is_urgent=is_urgent) for job in rendered}

    def write() -> dict[int, list[PushTarget]]:
        _write_versions(changed, using)
        return _untold_devices(limits, using)

    targets = in_transaction(write)
    published_at = time.monotonic()
    for job in rendered:
        if job.update is None or job.outcome is JobOutcome.RELEASED:
            continue
        job.update = replace(
            job.update, targets=targets.get(job.row.pk, ()), published_at=published_at
        )
        if job.update.targets:
            job.outcome = None


def ensure_counters(pass_type_identifiers: Iterable[str], using: str) -> None:
    """Make the counters of pass types that have none yet, each in a transaction of its own.

    Made within longer transactions, by two workers at once, they would be a deadlock.
    """
    counters = ApplePassType.objects.using(using)
    wanted = set(pass_type_identifiers)
    known = counters.filter(identifier__in=wanted).values_list("identifier", flat=True)
    for identifier in sorted(wanted.difference(known)):
        counters.get_or_create(identifier=identifier)


def draw_change_tag(pass_type_identifier: str, using: str) -> int:
    """Return the next tag of the pass type, in the transaction that writes the versions under it.

    The counter must be there already.
    The UPDATE keeps the counter locked until the commit: no later tag can be seen before this one.
    """
    counters = ApplePassType.objects.using(using).filter(identifier=pass_type_identifier)
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
    """  # noqa: S608 (quoted names, bound values)  # nosec B608
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


def _limit(job: Job, wallet: Wallet, *, is_urgent: bool) -> float | None:
    is_asked_for = job.row.is_forced or job.row.priority == WalletPass.Priority.ASKED
    return wallet.urgent_throttle_score if is_urgent or is_asked_for else wallet.throttle_score


def _untold_devices(limits: Mapping[int, float | None], using: str) -> dict[int, list[PushTarget]]:
    """Return whom to tell of these passes; `limits` are the scores that their devices may reach."""
    untold = AppleRegistration.objects.using(using).filter(
        wallet_pass__in=limits, pushed_tag__lt=F("wallet_pass__change_tag")
    )
    rows = list(
        untold.select_related("device").only(
            "wallet_pass", "device__push_token", "device__throttle_score", "device__last_pushed_at"
        )
    )
    waiting = _waiting_devices(rows, limits, using)
    targets: dict[int, list[PushTarget]] = defaultdict(list)
    for row in rows:
        if row.device_id not in waiting:
            target = PushTarget(key=row.pk, push_token=row.device.push_token)
            targets[row.wallet_pass_id].append(target)
    return targets


def _waiting_devices(
    rows: Sequence[AppleRegistration], limits: Mapping[int, float | None], using: str
) -> set[int]:
    """Return the devices that bear no push now for any of these of their passes."""
    suspects = [
        row
        for row in rows
        if (limit := limits[row.wallet_pass_id]) is not None
        and row.device.throttle_score + MOST_FOR_ONE_PUSH > limit
    ]
    if not suspects:
        return set()
    now = timezone.now()
    passes = count_passes((row.device_id for row in suspects), using)
    tired = {
        row.pk: row.device_id
        for row in suspects
        if not is_bearable(
            limits[row.wallet_pass_id],
            row.device.throttle_score,
            last_pushed_at=row.device.last_pushed_at,
            pushed_at=now,
            passes=passes[row.device_id],
        )
    }
    # One push speaks of all passes: where one of them may be told, so are the others.
    return set(tired.values()) - {row.device_id for row in rows if row.pk not in tired}
