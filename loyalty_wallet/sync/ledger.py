"""Writes what came of a batch: passes, failures, counts, in one transaction.

Everything is a compare-and-set on the lease, and `due_at` is cleared only for the revision that
was delivered. `bulk_update` would build a CASE of thousands of branches and be slower than one
statement a row: rows with values of their own go through `executemany`, the others in one UPDATE.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Case, F, PositiveSmallIntegerField, Q, QuerySet, When
from django.utils import timezone

from ..conf import get_conf
from ..exceptions import DeferredError, DeliveryError
from ..models import DatabaseNow, SyncBatch, SyncFailure, SyncRun, WalletPass
from ..redaction import redact
from .erasure import note_blank, note_revived
from .failpoints import failpoint
from .phones.notifications import record_notifications
from .phones.presence import note_answers
from .phones.receipts import record_pushes
from .pump.jobs import Job, JobOutcome
from .setting_aside import changes_after, code_after, counts_towards_set_aside
from .transactions import in_transaction

logger = logging.getLogger("loyalty_wallet.sync")


MOST_LISTED = 1000


class Ledger:
    """Records the outcomes of one run; without a run (real time) only the passes are written."""

    def __init__(self, run: SyncRun | None, *, worker: str) -> None:
        self._run = run
        self._worker = worker
        self._using = router.db_for_write(WalletPass)
        self._passes = WalletPass.objects.using(self._using)

    def record(self, alias: str, jobs: Sequence[Job]) -> Counter[str]:
        """Write the jobs of one wallet; return their counts. Jobs whose lease is lost are dropped."""
        ours, counts = in_transaction(lambda: self._write(alias, jobs))
        for job in ours:
            job.is_recorded = True
        for job in jobs:
            job.lease.pks.discard(job.row.pk)
        return counts

    def _write(self, alias: str, jobs: Sequence[Job]) -> tuple[list[Job], Counter[str]]:
        ours = self._still_ours(jobs)
        self._forget_what_is_uncertain(ours)
        groups: dict[JobOutcome, list[Job]] = defaultdict(list)
        for job in ours:
            groups[job.outcome or JobOutcome.RELEASED].append(job)
        sent = groups[JobOutcome.CREATED] + groups[JobOutcome.UPDATED]
        self._write_delivered([job for job in sent if not job.is_published])
        self._write_unchanged(
            [job for job in sent if job.is_published]
            + groups[JobOutcome.UNCHANGED]
            + groups[JobOutcome.SKIPPED]
        )
        self._write_failed(groups[JobOutcome.FAILED], JobOutcome.FAILED)
        self._write_failed(groups[JobOutcome.DEFERRED], JobOutcome.DEFERRED)
        self._release(groups[JobOutcome.RELEASED])
        record_pushes(ours, self._using)
        note_answers(ours, self._using)
        record_notifications(ours, self._using)
        note_revived(ours, self._using)
        note_blank(ours, self._using)
        counts = Counter(str(job.outcome) for job in ours if job.outcome and job.outcome.is_counted)
        requests = sum(job.requests for job in ours)
        if counts or requests:
            counts["attempts"] = sum(job.attempts for job in ours)
            counts["requests"] = requests
            if muted := sum(job.was_muted for job in ours):
                counts["muted"] = muted
            self._write_batch(alias, counts)
        failpoint("during_commit")
        return ours, counts

    def defer(self, alias: str, scope: Q, *, reason: str) -> Counter[str]:
        """Put due passes that nobody has claimed on record as deferred; return their count.

        Only so many get a failure of their own as a report lists: an outage of a million cards
        must not write a million rows an hour.
        """
        if self._run is None:
            return Counter()
        with transaction.atomic(using=self._using):
            untried = self._passes.due().unleased().filter(scope)
            listed = list(untried.order_by("due_at").values_list("pk", flat=True)[:MOST_LISTED])
            deferred = untried.update(
                last_run=self._run,
                last_code=code_after(DeferredError),
                last_outcome=JobOutcome.DEFERRED.value,
            )
            if deferred:
                error = DeferredError(reason)
                SyncFailure.objects.using(self._using).bulk_create(
                    _failure_row(self._run, pk, error, attempts=0) for pk in listed
                )
                self._write_batch(alias, Counter({JobOutcome.DEFERRED.value: deferred}))
        return Counter({JobOutcome.DEFERRED.value: deferred})

    def _write_batch(self, alias: str, counts: Counter[str]) -> None:
        if self._run is not None:
            SyncBatch.objects.using(self._using).create(
                run=self._run, worker=self._worker, wallet=alias, counts=dict(counts)
            )

    def _still_ours(self, jobs: Sequence[Job]) -> list[Job]:
        passes = self._passes.select_for_update().filter(pk__in=[job.row.pk for job in jobs])
        found = {pk: state for pk, *state in passes.values_list("pk", "lease_token", "last_code")}
        ours = []
        for job in jobs:
            token, last_code = found.get(job.row.pk, ("", ""))
            if token == job.lease.token:
                # A lease that ended meanwhile lets another run put the pass on record as deferred.
                job.row = job.row._replace(last_code=last_code)
                ours.append(job)
        if len(ours) < len(jobs):
            logger.warning("%d passes were taken over by another worker.", len(jobs) - len(ours))
        return ours

    def _forget_what_is_uncertain(self, jobs: Sequence[Job]) -> None:
        """Should a card return to what its phone showed before, that must be sent again."""
        if uncertain := [job for job in jobs if job.is_remote_uncertain]:
            self._own(uncertain).update(fingerprint="")

    def _write_delivered(self, jobs: Sequence[Job]) -> None:
        # The text that was sent, rather than the field's own encoding of it once more.
        self._write_right(
            jobs,
            {
                "fingerprint": lambda job: job.fingerprint,
                "payload": lambda job: job.body,
                **_SNAPSHOTS,
            },
        )

    def _write_unchanged(self, jobs: Sequence[Job]) -> None:
        self._write_right(jobs, _SNAPSHOTS)

    def _write_right(
        self, jobs: Sequence[Job], own_values: Mapping[str, Callable[[Job], Any]]
    ) -> None:
        """Write that these phones are right as of the revision that was claimed."""
        if not jobs:
            return
        connection = connections[self._using]
        quote = connection.ops.quote_name
        compiler = self._passes.query.get_compiler(self._using)
        now, _ = compiler.compile(DatabaseNow())
        own_columns = "".join(f"{quote(name)} = %s, " for name in own_values)
        # MySQL assigns from left to right; nothing below reads a column that is written before it.
        statement = f"""
            UPDATE {quote(WalletPass._meta.db_table)} SET {own_columns}
                due_at = CASE WHEN desired_revision = %s THEN NULL ELSE {now} END,
                priority = CASE WHEN desired_revision = %s THEN %s ELSE priority END,
                is_forced = CASE WHEN desired_revision = %s THEN %s ELSE is_forced END,
                synced_revision = %s, synced_at = {now}, tried_at = {now},
                lease_token = '', lease_until = NULL, takeovers = 0,
                failing_runs = 0, last_code = '', last_outcome = %s, last_run_id = %s
            WHERE id = %s AND lease_token = %s
        """  # noqa: S608 (quoted names, bound values)  # nosec B608
        run_id = None if self._run is None else self._run.pk
        rows = []
        for job in jobs:
            revision = job.row.desired_revision
            rows.append(
                (
                    *(_adapted(connection, value(job)) for value in own_values.values()),
                    revision,
                    revision,
                    WalletPass.Priority.NORMAL.value,
                    revision,
                    False,
                    revision,
                    str(job.outcome),
                    run_id,
                    job.row.pk,
                    job.lease.token,
                )
            )
        with connection.cursor() as cursor:
            cursor.executemany(statement, rows)
        mended = [job.row.pk for job in jobs if job.row.last_code]
        if mended:
            SyncFailure.objects.using(self._using).open().filter(wallet_pass__in=mended).update(
                resolved_at=timezone.now(), resolved_by=self._run
            )

    def _write_failed(self, jobs: Sequence[Job], outcome: JobOutcome) -> None:
        groups: dict[tuple[type[DeliveryError], bool], list[Job]] = defaultdict(list)
        for job in jobs:
            was_tried = outcome is JobOutcome.FAILED or job.attempts > 0
            groups[type(job.failure), was_tried].append(job)
        for (failure, was_tried), group in groups.items():
            changes: dict[str, Any] = {
                "lease_token": "",
                "lease_until": None,
                "takeovers": 0,
                "last_code": code_after(failure),
                "last_outcome": outcome,
                "last_run": self._run,
                "priority": Case(
                    When(priority=WalletPass.Priority.NORMAL, then=WalletPass.Priority.FAILED),
                    default=F("priority"),
                    output_field=PositiveSmallIntegerField(),
                ),
            }
            if was_tried:
                changes["tried_at"] = DatabaseNow()
            self._own(group).update(**changes_after(failure), **changes)
        self._report_set_aside(jobs)
        if self._run is not None:
            SyncFailure.objects.using(self._using).bulk_create(
                _failure_row(self._run, job.row.pk, job.failure, attempts=job.attempts)
                for job in jobs
            )

    def _release(self, jobs: Sequence[Job]) -> None:
        if jobs:
            self._own(jobs).update(lease_token="", lease_until=None)

    def _own(self, jobs: Iterable[Job]) -> QuerySet[WalletPass]:
        jobs = list(jobs)
        return self._passes.filter(
            pk__in=[job.row.pk for job in jobs],
            lease_token__in={job.lease.token for job in jobs},
        )

    def _report_set_aside(self, jobs: Iterable[Job]) -> None:
        limit = get_conf().set_aside_after
        set_aside = [
            job.row.card_key
            for job in jobs
            if counts_towards_set_aside(type(job.failure))
            and job.row.failing_runs + 1 >= limit
            and job.row.state != WalletPass.State.ERASING
        ]
        if set_aside:
            logger.error(
                "%d passes failed in %d runs in a row and are set aside: cards %s",
                len(set_aside),
                limit,
                ", ".join(map(redact, set_aside[:20])),
            )


_SNAPSHOTS: Mapping[str, Callable[[Job], Any]] = {
    "program_key": lambda job: job.program_key,
    "card_label": lambda job: job.card_label,
    "expires_at": lambda job: job.expires_at,
}


def _adapted(connection: BaseDatabaseWrapper, value: Any) -> Any:
    if isinstance(value, datetime):
        return connection.ops.adapt_datetimefield_value(value)
    return value


def _failure_row(run: SyncRun, pk: int, error: DeliveryError, *, attempts: int) -> SyncFailure:
    return SyncFailure(
        run=run,
        wallet_pass_id=pk,
        code=error.code,
        message=error.message,
        http_status=error.http_status,
        reason=error.reason,
        attempts=attempts,
        is_retryable=error.is_retryable,
        failed_at=timezone.now(),
    )
