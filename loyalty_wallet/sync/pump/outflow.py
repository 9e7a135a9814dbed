"""The far end of the pump: puts on record what has ended, in batches, and tells of failures."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

from ...conf import get_conf
from ...models import SyncRun
from ...redaction import redact
from ..failpoints import failpoint
from ..ledger import Ledger
from ..telling import tell_of_failures
from .backlog import Backlog
from .jobs import Job, JobOutcome
from .shares import Share

logger = logging.getLogger("loyalty_wallet.sync")

FLUSH_SECONDS = 1
"""How long what has ended may wait for a full batch."""


class Outflow:
    """Records the jobs of one run, or keeps them where there is no run on record."""

    def __init__(self, backlog: Backlog, run: SyncRun | None, *, worker: str) -> None:
        self.kept: list[tuple[str, Job]] = []
        """Alias and job of everything recorded, for want of a run on record."""
        self.has_news = False
        """Whether a pass was delivered: its card may have changed meanwhile."""
        self._batch_size = get_conf().batch_size
        self._backlog = backlog
        self._run = run
        self._ledger = Ledger(run, worker=worker)
        self._last_flush = time.monotonic()

    def flush(self, shares: Iterable[Share], *, is_last: bool) -> None:
        """Record full batches, and everything once a second or at the last."""
        now = time.monotonic()
        is_time = is_last or now - self._last_flush >= FLUSH_SECONDS
        for share in shares:
            while share.ready and (is_time or len(share.ready) >= self._batch_size):
                self._record(share, share.ready[: self._batch_size])
        if is_time:
            self._last_flush = now

    def defer_rest(self, shares: Iterable[Share]) -> None:
        """Put on record what was not even claimed, for a wallet that has given up."""
        for share in shares:
            if share.lane and share.lane.gave_up_for and not share.is_deferred:
                share.is_deferred = True
                for scope in self._backlog.scopes(share.wallet.alias):
                    share.counts += self._ledger.defer(
                        share.wallet.alias, scope, reason=share.lane.gave_up_for
                    )

    def _record(self, share: Share, batch: list[Job]) -> None:
        alias = share.wallet.alias
        failpoint("after_http")
        share.counts += self._ledger.record(alias, batch)
        del share.ready[: len(batch)]
        share.renderer.remember_delivered_programs(batch)
        share.bad_targets.note(batch)
        self._note(alias, batch)
        tell_of_failures(alias, batch, self._run)

    def _note(self, alias: str, batch: list[Job]) -> None:
        if self._run is None:
            self.kept += [(alias, job) for job in batch]
        for job in batch:
            if job.outcome in (JobOutcome.FAILED, JobOutcome.DEFERRED):
                if self._run is None:
                    self._backlog.failed_pks.add(job.row.pk)
                logger.warning(
                    "card=%s wallet=%s code=%s attempts=%d: %s",
                    redact(job.row.card_key),
                    alias,
                    job.failure.code,
                    job.attempts,
                    job.failure.message,
                )
            elif job.outcome is not None and job.outcome.is_success:
                self.has_news = True
