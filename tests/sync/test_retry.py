"""The ladder and the limiter."""

from __future__ import annotations

import asyncio
import time

import pytest

from loyalty_wallet.exceptions import (
    DeferredError,
    RateLimitedError,
    RejectedError,
    UnavailableError,
)
from loyalty_wallet.sync.limits import RateLimiter
from loyalty_wallet.sync.retry import RetryPolicy


def test_the_ladder_has_four_attempts() -> None:
    """1, 4 and 16 s between them, then it gives up."""
    policy = RetryPolicy([1, 4, 16])
    error = UnavailableError("503")
    assert [policy.delay_after(attempt, error) for attempt in (1, 2, 3, 4)] == [1, 4, 16, None]


def test_what_no_retry_mends_is_not_retried() -> None:
    """A refusal is final at the first attempt."""
    assert RetryPolicy([1, 4, 16]).delay_after(1, RejectedError("400")) is None


@pytest.mark.parametrize(("delays", "most", "attempts"), [([], None, 1), ([1, 4], 1, 1)])
def test_the_number_of_attempts_can_be_cut(
    delays: list[float], most: int | None, attempts: int
) -> None:
    """No delays, or a cap of one, means one attempt."""
    policy = RetryPolicy(delays, max_attempts=most)
    assert policy.delay_after(attempts, UnavailableError("503")) is None


def test_a_provider_may_ask_for_more_time_but_not_for_less() -> None:
    """The wait is the longer of the two."""
    policy = RetryPolicy([1, 4, 16])
    assert policy.delay_after(1, RateLimitedError("429", retry_after_seconds=3)) == 3
    assert policy.delay_after(3, RateLimitedError("429", retry_after_seconds=3)) == 16


def test_a_provider_that_asks_for_too_much_is_deferred() -> None:
    """Above 30 s the next run is the better time."""
    policy = RetryPolicy([1, 4, 16])
    assert policy.delay_after(1, RateLimitedError("429", retry_after_seconds=30)) == 30
    with pytest.raises(DeferredError):
        policy.delay_after(1, RateLimitedError("429", retry_after_seconds=31))


def start_times(limiter: RateLimiter, count: int) -> list[float]:
    """Return when `count` tasks that begin together may send."""

    async def main() -> list[float]:
        async def one() -> float:
            await limiter.wait()
            return time.monotonic()

        return await asyncio.gather(*(one() for _ in range(count)))

    return sorted(asyncio.run(main()))


def test_no_second_has_more_requests_than_the_limit() -> None:
    """Requests are spaced evenly, with no burst at the start."""
    starts = start_times(RateLimiter(100), 60)
    for first, later in zip(starts, starts[50:], strict=False):
        assert later - first >= 0.49


def test_without_a_limit_nobody_waits() -> None:
    """None lifts the limit: everybody starts before anybody has slept."""
    limiter = RateLimiter(None)

    async def main() -> bool:
        waits = [asyncio.ensure_future(limiter.wait()) for _ in range(1000)]
        await asyncio.sleep(0)
        return all(wait.done() for wait in waits)

    assert asyncio.run(main())


def test_a_pause_also_holds_back_who_booked_before_it() -> None:
    """A slot booked before the pause is void, and the line stays evenly spaced after it."""

    async def main() -> list[float]:
        limiter = RateLimiter(50)
        began = time.monotonic()
        waits = [asyncio.ensure_future(limiter.wait()) for _ in range(5)]
        await asyncio.sleep(0.01)
        limiter.pause(0.3)
        moments = []
        for wait in waits:
            await wait
            moments.append(time.monotonic() - began)
        return moments

    moments = asyncio.run(main())
    assert all(moment >= 0.3 for moment in moments[1:])
    assert moments[-1] - moments[1] >= 0.05
