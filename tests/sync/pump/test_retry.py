"""The ladder."""

from __future__ import annotations

import pytest

from loyalty_wallet.exceptions import (
    DeferredError,
    RateLimitedError,
    RejectedError,
    UnavailableError,
)
from loyalty_wallet.sync.pump.retry import RetryPolicy


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
    asked = RateLimitedError("Slow.", http_status=429, reason="quota", retry_after_seconds=31)
    for attempt in (1, 4):
        with pytest.raises(DeferredError, match="asks to wait 31 s: Slow") as caught:
            policy.delay_after(attempt, asked)
        assert (caught.value.http_status, caught.value.reason) == (429, "quota")


def test_a_refusal_is_final_however_long_it_asks_to_wait() -> None:
    """No run need come back for what no retry mends."""
    refused = RejectedError("400", retry_after_seconds=31)
    assert RetryPolicy([1]).delay_after(1, refused) is None


def test_more_attempts_than_the_ladder_has_are_not_made() -> None:
    """A cap can only take away; a single delay serves once."""
    policy = RetryPolicy([2], max_attempts=9)
    error = UnavailableError("503")
    assert [policy.delay_after(attempt, error) for attempt in (1, 2)] == [2, None]


def test_waits_may_be_short() -> None:
    """A provider that asks for nothing makes none longer."""
    assert RetryPolicy([0.05]).delay_after(1, UnavailableError("503")) == 0.05
