"""The pump of a run: claim, render, deliver, record, bounded in flight.

It runs in the caller's thread, which owns the database; deliveries run in the `DeliveryThread`.
Memory does not grow with the number of due cards: only so many are claimed ahead.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext

from django.db.models import Q

from ...conf import get_conf
from ...exceptions import DeliveryError
from ...models import SyncRun
from ...wallets.base import Wallet
from ..orders import STOPPING, Orders, Progress
from .backlog import Backlog
from .heap import settled_heap
from .intake import Intake
from .jobs import Job, JobOutcome
from .outflow import Outflow
from .rendering import Renderer
from .shares import Share
from .threads import DeliveryThread

logger = logging.getLogger("loyalty_wallet.sync")

HEARTBEAT_SECONDS = 30
LOOK_SECONDS = 2
"""How soon a run that was told to stop notices it."""
TICK_SECONDS = 0.5
LEAST_TICK_SECONDS = 0.01
MOST_CYCLES = 3
"""How often a run goes back to passes that changed during their own delivery."""


class Engine:
    """Drains the due passes of a selection, wallets side by side.

    `scopes` are those of `Backlog`. `beat` is called every 30 s and says whether the run is still
    ours. With `waits_for_others` the drain ends only when no other worker holds a due pass of the
    selection either. A `thread` that is given is used and left open.
    """

    def __init__(  # noqa: PLR0913
        self,
        wallets: Iterable[Wallet],
        scopes: Callable[[], Iterator[Q]],
        *,
        orders: Orders,
        run: SyncRun | None,
        worker: str,
        beat: Callable[[], bool] | None = None,
        waits_for_others: bool = False,
        thread: DeliveryThread | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        conf = get_conf()
        self._most_seconds = min(conf.max_run_seconds, orders.max_seconds or conf.max_run_seconds)
        self._orders = orders
        self._run = run
        self._backlog = Backlog(scopes, run)
        self._outflow = Outflow(self._backlog, run, worker=worker)
        self._keep_run_alive = beat
        self._waits_for_others = waits_for_others and orders.limit is None
        self._cycles_left = MOST_CYCLES
        self._on_progress = on_progress
        self._announce = threading.Event()
        self._intake = Intake(
            self._backlog,
            orders=orders,
            announce=self._announce,
            thread=thread,
            # Whoever delivers in real time, or has customers notified, has one at the till.
            is_urgent=run is None or orders.notify,
        )
        self._started = self._last_beat = self._last_look = time.monotonic()
        self.shares = [
            Share(
                wallet,
                Renderer(wallet, notify=orders.notify, is_real_time=orders.goes_first),
            )
            for wallet in wallets
        ]
        self.is_stopped = False
        self.is_cancelled = False

    def drain(self) -> None:
        """Bring the selection up to date, or stop early at a deadline or on Ctrl-C.

        The first KeyboardInterrupt finishes and records what was begun; a second one passes
        through, and the leases of what was in flight run out by themselves.
        """
        # A single push is over too soon to be worth it.
        with settled_heap() if self._run else nullcontext():
            try:
                self._begin_cycle()
                while self._advance_unless_interrupted():
                    pass
                self._close_lanes()
            finally:
                for share in self.shares:
                    share.cancel_lane()
                self._intake.close()

    def _advance_unless_interrupted(self) -> bool:
        try:
            return self._advance()
        except (KeyboardInterrupt, self._orders.stop_on):
            if self.is_stopped:
                raise
            logger.warning(STOPPING)
            self.stop()
            return True

    def _close_lanes(self) -> None:
        for share in self.shares:
            share.close_lane()
        for share in self.shares:
            share.wait_for_lane()
            if share.stopped_by is None:
                share.bad_targets.drop()

    def stop(self) -> None:
        """Claim no more and give back what nobody has begun."""
        self.is_stopped = True
        for share in self.shares:
            share.stop_new()

    @property
    def kept(self) -> list[tuple[str, Job]]:
        """Alias and job of everything recorded, where there is no run on record."""
        return self._outflow.kept

    @property
    def unsuccessful(self) -> list[tuple[str, Job]]:
        """What `kept` has of failed and deferred jobs."""
        outcomes = (JobOutcome.FAILED, JobOutcome.DEFERRED)
        return [(alias, job) for alias, job in self.kept if job.outcome in outcomes]

    @property
    def stopped_by(self) -> dict[str, DeliveryError]:
        """The wallets that were stopped for this run, and why."""
        return {share.wallet.alias: share.stopped_by for share in self.shares if share.stopped_by}

    @property
    def untried_wallets(self) -> tuple[str, ...]:
        """The wallets that were stopped before a single request could be made."""
        return tuple(share.wallet.alias for share in self.shares if not share.was_tried)

    @property
    def stop_reasons(self) -> str:
        """What stopped wallets, for people: a line for each of them."""
        return "\n".join(
            f"{alias}: {error.code}: {error.message}" for alias, error in self.stopped_by.items()
        )

    def status_after(self, cards: Mapping[str, int]) -> SyncRun.Status:
        """`failed` when nothing came through though something should have, `partial` for some."""
        if self.is_cancelled:
            return SyncRun.Status.INTERRUPTED
        is_short = bool(cards["failed"] or cards["deferred"] or cards["left"] or self.stopped_by)
        if not is_short:
            return SyncRun.Status.SUCCEEDED
        if cards["synced"] or cards["unchanged"]:
            return SyncRun.Status.PARTIAL
        return SyncRun.Status.FAILED

    def count_left(self) -> int:
        """Count the cards that a run which ended early did not come to."""
        if not (self.is_stopped or self.stopped_by):
            return 0
        return self._backlog.count_cards([share.wallet.alias for share in self.shares])

    def _begin_cycle(self, *, is_again: bool = False) -> None:
        self._outflow.has_news = False
        for share in self.shares:
            share.begin(self._backlog.scopes(share.wallet.alias, is_again=is_again))

    def _advance(self) -> bool:
        """Move everything on that can move; return False when the selection is drained."""
        self._look_for_the_end()
        self._beat()
        has_fed = False
        for share in self.shares:
            # First what has ended: it makes room, and nothing announces it a second time.
            share.collect()
            if self._intake.wants_more(share):
                self._intake.feed(share)
                has_fed = True
            share.book_slots()
        is_busy = any(share.in_flight or not share.is_drained for share in self.shares)
        self._outflow.flush(self.shares, is_last=not is_busy)
        self._show_progress()
        if is_busy:
            if not has_fed:
                booking = min((share.seconds_to_booking for share in self.shares), default=math.inf)
                self._announce.wait(max(LEAST_TICK_SECONDS, min(TICK_SECONDS, booking)))
                self._announce.clear()
            return True
        if self.is_stopped:
            return False
        self._outflow.defer_rest(self.shares)
        # With nothing else in flight: such a pass may take its process with it.
        if any(self._intake.feed_suspect(share) for share in self.shares):
            return True
        if self._outflow.has_news and self._cycles_left:
            # A pass whose card changed during its own delivery is due again.
            self._cycles_left -= 1
            self._begin_cycle(is_again=True)
            return True
        open_wallets = [share.wallet.alias for share in self.shares if not share.is_over]
        if self._waits_for_others and self._backlog.has_rest(open_wallets):
            # Another worker's passes end with its record, or with its lease if it has died.
            time.sleep(TICK_SECONDS)
            self._begin_cycle(is_again=True)
            return True
        return False

    def _beat(self) -> None:
        """Show that we live: extend the leases of what is in flight, and the run's heartbeat."""
        if time.monotonic() - self._last_beat < HEARTBEAT_SECONDS:
            return
        self._last_beat = time.monotonic()
        self._intake.renew_leases()
        if self._keep_run_alive is not None and not self._keep_run_alive():
            logger.error("Another process has taken the run over; this one stops.")
            self.stop()

    def _look_for_the_end(self) -> None:
        now = time.monotonic()
        if now - self._started > self._most_seconds and not self.is_stopped:
            logger.warning("The run reached its time limit of %.0f s.", self._most_seconds)
            self.stop()
        if self._orders.is_told_to_stop and not self.is_stopped:
            logger.warning(STOPPING)
            self.stop()
        if self._run is None or self.is_cancelled or now - self._last_look < LOOK_SECONDS:
            return
        self._last_look = now
        if SyncRun.objects.filter(pk=self._run.pk, cancel_requested_at__isnull=False).exists():
            logger.warning("The run was told to stop: what was begun is finished and recorded.")
            self.is_cancelled = True
            self.stop()

    def _show_progress(self) -> None:
        if self._on_progress is None:
            return
        totals: Counter[str] = sum((share.counts for share in self.shares), Counter())
        self._on_progress(
            Progress(
                done=sum(totals[outcome.value] for outcome in JobOutcome if outcome.is_counted),
                failed=totals[JobOutcome.FAILED.value],
                waiting=sum(share.lane.waiting for share in self.shares if share.lane),
            )
        )
