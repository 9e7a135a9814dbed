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
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import models, router, transaction
from django.db.models import F
from django.db.models.functions import Greatest

from ..conf import get_conf
from ..models import DatabaseNow, WalletLimit
from ..wallets.base import Wallet

logger = logging.getLogger("loyalty_wallet.sync")

AHEAD_SECONDS = 0.5
"""Slots are booked at most this far ahead: a real-time push has to wait no longer for its own."""

BATCH_SECONDS = 0.05
MOST_SLOTS = 1000


class SlotSource(ABC):
    """Books moments for requests, evenly spaced over all processes."""

    def __init__(self, wallet: str, requests_per_second: float) -> None:
        self.wallet = wallet
        self.interval = 1 / requests_per_second

    @abstractmethod
    def first_delay(self, count: int) -> float:
        """Book `count` slots in a row; return the seconds until the first."""

    @abstractmethod
    def pause(self, seconds: float) -> None:
        """Let no slot be booked within this time."""

    def book(self, count: int) -> list[float]:
        """Book `count` slots; return their times on this process's monotonic clock."""
        first = self.first_delay(count)
        # The clock is read last: an answer that takes long makes us late, never early.
        now = time.monotonic()
        return [now + first + number * self.interval for number in range(count)]


class DatabaseSlots(SlotSource):
    """Books in a row of the database, by the database's clock."""

    def first_delay(self, count: int) -> float:
        taken = timedelta(seconds=count * self.interval)
        with transaction.atomic(using=router.db_for_write(WalletLimit)):
            row = self._row()
            row.update(next_slot_at=_not_before(timedelta(0)) + taken)
            end, now = row.annotate(now=DatabaseNow()).values_list("next_slot_at", "now").get()
        return max(0.0, (end - now - taken).total_seconds())

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

    # KEYS[1] the wallet's key; ARGV: microseconds to take, microseconds of a pause.
    SCRIPT = """
        local time = redis.call('TIME')
        local now = time[1] * 1000000 + time[2]
        local free = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now + ARGV[2])
        redis.call('SET', KEYS[1], string.format('%.0f', free + ARGV[1]), 'PX', 3600000)
        return string.format('%.0f', free - now)
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

    def first_delay(self, count: int) -> float:
        try:
            return self._reserve(count * self.interval, pause_seconds=0)
        except self._redis_error as error:
            logger.warning("Redis books no slots (%s); the database does.", type(error).__name__)
            return self._fallback.first_delay(count)

    def pause(self, seconds: float) -> None:
        try:
            self._reserve(0, pause_seconds=seconds)
        except self._redis_error as error:
            logger.warning("Redis takes no pause (%s); the database does.", type(error).__name__)
            self._fallback.pause(seconds)

    def _reserve(self, seconds: float, *, pause_seconds: float) -> float:
        microseconds = [round(seconds * 1e6), round(pause_seconds * 1e6)]
        waits = self._script(keys=[f"loyalty_wallet:limit:{self.wallet}"], args=microseconds)
        return int(waits) / 1e6


def slot_source_for(wallet: Wallet) -> SlotSource | None:
    """Return where the wallet's slots are booked; None when it has no limit."""
    if wallet.requests_per_second is None:
        return None
    if url := get_conf().rate_limit_redis_url:
        return RedisSlots(wallet.alias, wallet.requests_per_second, url=url)
    return DatabaseSlots(wallet.alias, wallet.requests_per_second)


class RateLimiter:
    """Lets the requests of one lane start in booked slots.

    `wait`, `grant` and `pause` belong to the event loop's thread, `book_needed` to the thread
    that owns the source.
    """

    def __init__(self, source: SlotSource | None) -> None:
        self._source = source
        self._slots: deque[float] = deque()
        self._has_slots = asyncio.Event()
        self._waiting = 0
        self._booked = self._granted = 0
        self._paused_until = 0.0
        self._unshared_pause = 0.0

    @property
    def pause_seconds(self) -> float:
        """How long the pause that the provider asked for still lasts."""
        return max(0.0, self._paused_until - time.monotonic())

    async def wait(self, announce: Callable[[], None]) -> None:
        """Sleep until a request may start; `announce` is called when a slot must be booked."""
        while True:
            if self._source is not None:
                await self._sleep_until(await self._next_slot(announce))
            if time.monotonic() >= self._paused_until:
                return
            # A pause that began meanwhile voids the slots booked before it.
            await self._sleep_until(self._paused_until)

    def pause(self, seconds: float) -> None:
        """Let no request start for this long, here and, from the next booking on, anywhere."""
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)
        self._unshared_pause = max(self._unshared_pause, seconds)
        self._slots.clear()

    def grant(self, slots: list[float]) -> None:
        self._slots.extend(slots)
        self._granted += len(slots)
        self._has_slots.set()

    def book_needed(self) -> list[float]:
        """Book slots for the requests that wait for one."""
        if self._source is None:
            return []
        if self._unshared_pause:
            seconds, self._unshared_pause = self._unshared_pause, 0.0
            self._source.pause(seconds)
        # Slots on their way to the other thread count too: booked twice, they would be wasted.
        at_hand = len(self._slots) + self._booked - self._granted
        if self._waiting <= at_hand:
            return []
        # At high rates one booking serves more than the requests that wait at this moment.
        wanted = max(self._waiting, min(MOST_SLOTS, int(BATCH_SECONDS / self._source.interval)))
        ahead = max(1, math.ceil(AHEAD_SECONDS / self._source.interval))
        slots = self._source.book(min(wanted - at_hand, ahead))
        self._booked += len(slots)
        return slots

    async def _next_slot(self, announce: Callable[[], None]) -> float:
        self._waiting += 1
        try:
            while not self._slots:
                announce()
                self._has_slots.clear()
                await self._has_slots.wait()
        finally:
            self._waiting -= 1
        return self._slots.popleft()

    async def _sleep_until(self, moment: float) -> None:
        if (seconds := moment - time.monotonic()) > 0:
            await asyncio.sleep(seconds)


def _not_before(delay: timedelta) -> Greatest:
    return Greatest(F("next_slot_at"), DatabaseNow() + delay, output_field=models.DateTimeField())
