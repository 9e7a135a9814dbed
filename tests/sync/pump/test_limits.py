"""The rate limit: booked slots, shared by all processes, and pauses that hold for all."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

from loyalty_wallet.sync.pump.limits import (
    LINE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    DatabaseSlots,
    RateLimiter,
    RedisSlots,
    Reservation,
    SlotSource,
)
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


def slots(source: SlotSource, count: int) -> list[float]:
    """Book, however long the line is; return the times on our monotonic clock."""
    first = source.reserve(count).seconds
    now = time.monotonic()
    return [now + first + number * source.interval for number in range(count)]


def test_slots_are_evenly_spaced_without_a_burst(source: SlotSource) -> None:
    """Several bookings in a row make one line of slots, a twentieth of a second apart."""
    booked = slots(source, 5) + slots(source, 1) + slots(source, 10)
    assert all(later - earlier >= 0.03 for earlier, later in pairwise(booked))
    assert booked[-1] - booked[0] >= 0.73


def test_time_that_nobody_used_is_gone(source: SlotSource) -> None:
    """After a rest the next slot is now, and there is no credit for a burst."""
    slots(source, 1)
    time.sleep(0.3)
    booked = slots(source, 3)
    assert booked[0] <= time.monotonic() + 0.02
    assert booked[2] - booked[0] >= 0.099


def test_a_pause_holds_for_every_booking_after_it(source: SlotSource) -> None:
    """Nobody gets a slot within the pause, and a shorter one does not end it."""
    began = time.monotonic()
    source.pause(0.5)
    source.pause(0.1)
    assert slots(source, 1)[0] - began >= 0.49


def test_a_run_leaves_a_long_line_to_real_time(source: SlotSource) -> None:
    """However many processes catch up, a push of real time waits no longer than they may book."""
    assert source.reserve(20, line=LINE_SECONDS).is_booked
    for _ in range(3):
        refused = source.reserve(1, line=LINE_SECONDS)
        assert not refused.is_booked
        assert LINE_SECONDS < refused.seconds <= 1

    urgent = source.reserve(1, line=30)
    assert urgent.is_booked
    assert urgent.seconds <= 1


def test_an_absurd_pause_ends_within_the_hour(source: SlotSource) -> None:
    """A provider that asks for a century is asked again by the next run."""
    limiter = RateLimiter(source)
    limiter.pause(1e300)
    assert limiter.book_needed() == []
    line = source.reserve(1, line=30)
    assert not line.is_booked
    assert line.seconds <= LONGEST_PAUSE_SECONDS


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

    def reserve(self, count: int, *, line: float | None = None) -> Reservation:
        now = time.monotonic()
        first = max(now, self.next_slot)
        if line is not None and first - now > line:
            return Reservation(False, first - now)
        self.next_slot = first + count * self.interval
        return Reservation(True, first - now)

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
        booked = limiter.book_needed()
        assert len(booked) == 70
        assert limiter.book_needed() == []
        limiter.grant(booked)
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


def test_a_push_of_real_time_passes_the_runs_that_catch_up() -> None:
    """With four runs that want all they can get, it starts before most of their requests."""
    source = LocalSlots("google", 50)
    runs = [RateLimiter(source) for _ in range(4)]
    push = RateLimiter(source, is_urgent=True)
    started: list[RateLimiter] = []

    async def request(limiter: RateLimiter) -> None:
        await limiter.wait(lambda: None)
        started.append(limiter)

    async def main() -> None:
        catching_up = [asyncio.ensure_future(request(run)) for run in runs for _ in range(40)]
        await asyncio.sleep(0)
        for limiter in runs * 10:
            limiter.grant(limiter.book_needed())
        urgent = asyncio.ensure_future(request(push))
        await asyncio.sleep(0)
        push.grant(push.book_needed())
        await urgent
        for task in catching_up:
            task.cancel()

    asyncio.run(main())
    assert started[-1] is push
    assert len(started) <= 41
