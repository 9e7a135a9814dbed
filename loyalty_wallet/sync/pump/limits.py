"""The rate limit of one wallet, shared by all processes: reservations, no bursts.

A `SlotSource` books the next free moments (GCRA with a burst of 1) where every process can see
it. Booking is exact and fair, where limiters that check and retry overshoot or starve. The thread
that owns the database books; the lane's `RateLimiter` hands the booked slots to its requests.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.db import models, router, transaction
from django.db.models import F
from django.db.models.functions import Greatest

from ...conf import get_conf
from ...exceptions import DeferredError
from ...models import DatabaseNow, WalletLimit
from ...wallets.base import Wallet
from .retry import LONGEST_RETRY_AFTER_SECONDS

logger = logging.getLogger("loyalty_wallet.sync")

LINE_SECONDS = 0.5
"""A run books while the line of all processes is no longer than this: so much is left to pushes in
real time, which may book in any line."""
CHUNK_SECONDS = 0.25
BATCH_SECONDS = 0.05
MOST_SLOTS = 1000
LONGEST_PAUSE_SECONDS = 3600
"""Whatever the provider asks for: the next hour asks again."""


class Reservation(NamedTuple):
    """What became of a booking."""

    is_booked: bool
    seconds: float
    """Until the first slot; when nothing was booked, until the line has passed."""


class SlotSource(ABC):
    """Books moments for requests, evenly spaced over all processes."""

    def __init__(self, wallet: str, requests_per_second: float) -> None:
        self.wallet = wallet
        self.interval = 1 / requests_per_second

    @abstractmethod
    def reserve(self, count: int, *, line: float | None = None) -> Reservation:
        """Book `count` slots in a row, unless the line is longer than `line` seconds."""

    @abstractmethod
    def pause(self, seconds: float) -> None:
        """Let no slot be booked within this time."""


class DatabaseSlots(SlotSource):
    """Books in a row of the database, by the database's clock."""

    def reserve(self, count: int, *, line: float | None = None) -> Reservation:
        taken = timedelta(seconds=count * self.interval)
        with transaction.atomic(using=router.db_for_write(WalletLimit)):
            row = self._row()
            short = row
            if line is not None:
                short = row.filter(next_slot_at__lte=DatabaseNow() + timedelta(seconds=line))
            is_booked = bool(short.update(next_slot_at=_not_before(timedelta(0)) + taken))
            end, now = row.annotate(now=DatabaseNow()).values_list("next_slot_at", "now").get()
        first = end - now - taken if is_booked else end - now
        return Reservation(is_booked, max(0.0, first.total_seconds()))

    def pause(self, seconds: float) -> None:
        with transaction.atomic(using=router.db_for_write(WalletLimit)):
            self._row().update(next_slot_at=_not_before(timedelta(seconds=seconds)))

    def _row(self) -> models.QuerySet[WalletLimit]:
        row = WalletLimit.objects.filter(wallet=self.wallet)
        if not row.exists():
            WalletLimit.objects.bulk_create(
                [WalletLimit(wallet=self.wallet, next_slot_at=DatabaseNow())],
                ignore_conflicts=True,
            )
        return row


class RedisSlots(SlotSource):
    """Books in Redis by Redis's clock; in the database while Redis cannot be reached."""

    # KEYS[1] the wallet's key; ARGV: microseconds to take, of a pause, and of the longest line.
    SCRIPT = """
        local time = redis.call('TIME')
        local now = time[1] * 1000000 + time[2]
        local free = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now + ARGV[2])
        if free - now > tonumber(ARGV[3]) then
            return {0, string.format('%.0f', free - now)}
        end
        redis.call('SET', KEYS[1], string.format('%.0f', free + ARGV[1]), 'PX', 3600000)
        return {1, string.format('%.0f', free - now)}
    """

    def __init__(self, wallet: str, requests_per_second: float, *, url: str) -> None:
        super().__init__(wallet, requests_per_second)
        try:
            import redis
        except ImportError as error:
            raise ImproperlyConfigured(
                "RATE_LIMIT_REDIS_URL needs the package redis: install loyalty-wallet[redis]."
            ) from error
        client = redis.Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1)
        self._script: Any = client.register_script(self.SCRIPT)
        self._redis_error: type[Exception] = redis.RedisError
        self._fallback = DatabaseSlots(wallet, requests_per_second)

    def reserve(self, count: int, *, line: float | None = None) -> Reservation:
        try:
            return self._run(count * self.interval, line=line)
        except self._redis_error as error:
            logger.warning("Redis books no slots (%s); the database does.", type(error).__name__)
            return self._fallback.reserve(count, line=line)

    def pause(self, seconds: float) -> None:
        try:
            self._run(0, pause=seconds)
        except self._redis_error as error:
            logger.warning("Redis takes no pause (%s); the database does.", type(error).__name__)
            self._fallback.pause(seconds)

    def _run(self, taken: float, *, pause: float = 0, line: float | None = None) -> Reservation:
        longest = 2 * LONGEST_PAUSE_SECONDS if line is None else line
        microseconds = [round(seconds * 1e6) for seconds in (taken, pause, longest)]
        is_booked, waits = self._script(
            keys=[f"loyalty_wallet:limit:{self.wallet}"], args=microseconds
        )
        return Reservation(bool(is_booked), int(waits) / 1e6)


def slot_source_for(wallet: Wallet) -> SlotSource | None:
    """Return where the wallet's slots are booked; None when it has no limit."""
    if wallet.requests_per_second is None:
        return None
    if url := get_conf().rate_limit_redis_url:
        return RedisSlots(wallet.alias, wallet.requests_per_second, url=url)
    return DatabaseSlots(wallet.alias, wallet.requests_per_second)


class RateLimiter:
    """Lets the requests of one lane start in booked slots.

    `wait`, `grant`, `hold` and `pause` belong to the event loop's thread, `book_needed` and
    `share_pause` to the thread that owns the source. An urgent one, for real time, books before
    the runs that wait for a shorter line.
    """

    def __init__(self, source: SlotSource | None, *, is_urgent: bool = False) -> None:
        self._source = source
        self._longest_line = LONGEST_RETRY_AFTER_SECONDS if is_urgent else LINE_SECONDS
        self._slots: deque[float] = deque()
        self._has_slots = asyncio.Event()
        self._waiting = 0
        self._booked = self._granted = 0
        self._paused_until = 0.0
        self._unshared_pause = 0.0
        self.line_seconds = 0.0
        """How long the line was that kept us from booking; 0 after a booking."""

    @property
    def is_paused_for_long(self) -> bool:
        """Whether the provider asked all to wait longer than a run should."""
        return self._paused_until - time.monotonic() > LONGEST_RETRY_AFTER_SECONDS

    @property
    def seconds_to_booking(self) -> float:
        """When it makes sense to try again what the line did not allow."""
        return max(0.0, self.line_seconds - self._longest_line)

    async def wait(self, announce: Callable[[], None]) -> None:
        """Sleep until a request may start; `announce` is called when a slot must be booked.

        Raises DeferredError in a long pause.
        """
        while True:
            self._refuse_a_long_pause()
            if self._source is not None:
                await _sleep_until(await self._next_slot(announce))
            if time.monotonic() >= self._paused_until:
                return
            # A pause that began meanwhile voids the slots booked before it.
            self._refuse_a_long_pause()
            await _sleep_until(self._paused_until)

    def pause(self, seconds: float) -> None:
        """Let no request start for this long, here and, from the next booking on, anywhere."""
        seconds = min(seconds, LONGEST_PAUSE_SECONDS)
        self._unshared_pause = max(self._unshared_pause, seconds)
        self.hold(seconds)

    def hold(self, seconds: float) -> None:
        """Let no request start here for this long."""
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)
        self._slots.clear()
        # Who waits for a slot looks whether it is worth while.
        self._has_slots.set()

    def grant(self, slots: list[float]) -> None:
        self._slots.extend(slots)
        self._granted += len(slots)
        self._has_slots.set()

    def book_needed(self) -> list[float]:
        """Book slots for the requests that wait for one, on the monotonic clock of this process."""
        if self._source is None:
            return []
        self.share_pause()
        # Slots on their way to the other thread count too: booked twice, they would be wasted.
        at_hand = len(self._slots) + self._booked - self._granted
        if self._waiting <= at_hand:
            self.line_seconds = 0.0
            return []
        # At high rates one booking serves more than the requests that wait at this moment.
        interval = self._source.interval
        wanted = max(self._waiting, min(MOST_SLOTS, int(BATCH_SECONDS / interval)))
        count = min(wanted - at_hand, max(1, math.ceil(CHUNK_SECONDS / interval)))
        reservation = self._source.reserve(count, line=self._longest_line)
        if not reservation.is_booked:
            self.line_seconds = reservation.seconds
            return []
        self.line_seconds = 0.0
        # The clock is read last: an answer that takes long makes us late, never early.
        first = time.monotonic() + reservation.seconds
        self._booked += count
        return [first + number * interval for number in range(count)]

    def share_pause(self) -> None:
        """Tell the other processes of a pause that this one was asked for."""
        if self._source is not None and self._unshared_pause:
            seconds, self._unshared_pause = self._unshared_pause, 0.0
            self._source.pause(seconds)

    async def _next_slot(self, announce: Callable[[], None]) -> float:
        self._waiting += 1
        try:
            while not self._slots:
                announce()
                self._has_slots.clear()
                await self._has_slots.wait()
                self._refuse_a_long_pause()
        finally:
            self._waiting -= 1
        return self._slots.popleft()

    def _refuse_a_long_pause(self) -> None:
        if self.is_paused_for_long:
            raise DeferredError("The provider asked all cards of the wallet to wait.")


async def _sleep_until(moment: float) -> None:
    if (seconds := moment - time.monotonic()) > 0:
        await asyncio.sleep(seconds)


def _not_before(delay: timedelta) -> Greatest:
    return Greatest(F("next_slot_at"), DatabaseNow() + delay, output_field=models.DateTimeField())
