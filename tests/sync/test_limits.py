"""The rate limit: booked slots, shared by all processes, and pauses that hold for all."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

from loyalty_wallet.sync.limits import DatabaseSlots, RateLimiter, RedisSlots, SlotSource
from tests.servers.kinds import RedisServer

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["database", "redis", "redis that is down"])
def source(request: pytest.FixtureRequest) -> SlotSource:
    """Every way to book slots; they must not differ."""
    if request.param == "database":
        return DatabaseSlots("google", 20)
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        return RedisSlots(f"google {time.monotonic_ns()}", 20, url=server.url)
    return RedisSlots("google", 20, url="redis://127.0.0.1:1/0")


def test_slots_are_evenly_spaced_without_a_burst(source: SlotSource) -> None:
    """Several bookings in a row make one line of slots, a twentieth of a second apart."""
    slots = source.book(5) + source.book(1) + source.book(10)
    assert all(later - earlier >= 0.03 for earlier, later in pairwise(slots))
    assert slots[-1] - slots[0] >= 0.73


def test_time_that_nobody_used_is_gone(source: SlotSource) -> None:
    """After a rest the next slot is now, and there is no credit for a burst."""
    source.book(1)
    time.sleep(0.3)
    slots = source.book(3)
    assert slots[0] <= time.monotonic() + 0.02
    assert slots[2] - slots[0] >= 0.099


def test_a_pause_holds_for_every_booking_after_it(source: SlotSource) -> None:
    """Nobody gets a slot within the pause, and a shorter one does not end it."""
    began = time.monotonic()
    source.pause(0.5)
    source.pause(0.1)
    assert source.book(1)[0] - began >= 0.49


def run_requests(limiter: RateLimiter, count: int, *, pause: float = 0) -> list[float]:
    """Return when `count` requests that begin together may start; a booker books for them."""

    async def main() -> list[float]:
        async def one() -> float:
            await limiter.wait(lambda: None)
            return time.monotonic()

        async def book() -> None:
            while True:
                limiter.grant(limiter.book_needed())
                await asyncio.sleep(0.005)

        requests = [asyncio.ensure_future(one()) for _ in range(count)]
        booker = asyncio.ensure_future(book())
        await asyncio.sleep(0.02)
        if pause:
            limiter.pause(pause)
        starts = await asyncio.gather(*requests)
        booker.cancel()
        return sorted(starts)

    return asyncio.run(main())


class LocalSlots(SlotSource):
    """Books in this process alone: the arithmetic without a database."""

    next_slot = 0.0

    def first_delay(self, count: int) -> float:
        now = time.monotonic()
        first = max(now, self.next_slot)
        self.next_slot = first + count * self.interval
        return first - now

    def pause(self, seconds: float) -> None:
        self.next_slot = max(self.next_slot, time.monotonic() + seconds)


def test_no_window_has_more_requests_than_the_limit() -> None:
    """Half a second at 40 per second starts at most twenty and one."""
    starts = run_requests(RateLimiter(LocalSlots("google", 40)), 45)
    for first, later in zip(starts, starts[21:], strict=False):
        assert later - first >= 0.5


def test_slots_on_their_way_are_not_booked_again() -> None:
    """A slot that nobody uses is lost to all processes."""
    limiter = RateLimiter(LocalSlots("google", 1000))

    async def main() -> None:
        waits = [asyncio.ensure_future(limiter.wait(lambda: None)) for _ in range(70)]
        await asyncio.sleep(0)
        slots = limiter.book_needed()
        assert len(slots) == 70
        assert limiter.book_needed() == []
        limiter.grant(slots)
        assert limiter.book_needed() == []
        await asyncio.gather(*waits)

    asyncio.run(main())


def test_without_a_limit_nobody_waits() -> None:
    """A wallet without a limit books nothing."""
    limiter = RateLimiter(None)

    async def main() -> bool:
        waits = [asyncio.ensure_future(limiter.wait(lambda: None)) for _ in range(1000)]
        await asyncio.sleep(0)
        return all(wait.done() for wait in waits)

    assert asyncio.run(main())
    assert limiter.book_needed() == []


def test_a_pause_also_holds_back_who_booked_before_it() -> None:
    """Slots booked before the pause are void, and the line is evenly spaced after it."""
    began = time.monotonic()
    starts = run_requests(RateLimiter(LocalSlots("google", 50)), 12, pause=0.3)
    paused = [start for start in starts if start - began > 0.05]
    assert paused
    assert all(start - began >= 0.3 for start in paused)
    assert paused[-1] - paused[0] >= 0.018 * (len(paused) - 1)
