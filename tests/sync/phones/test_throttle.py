"""The estimate of what a phone thinks of our pushes, as others have read it from phones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from loyalty_wallet.sync.phones.throttle import is_bearable, score_after_push

START = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = 60


def scores(gap_seconds: float, *, passes: int = 1, pushes: int = 10) -> list[float]:
    """Return the score after each of so many pushes that are so far apart."""
    found, last, score = [], None, 0.0
    for number in range(pushes):
        at = START + timedelta(seconds=number * gap_seconds)
        score = score_after_push(score, last_pushed_at=last, pushed_at=at, passes=passes)
        found.append(score)
        last = at
    return found


@pytest.mark.parametrize(
    ("gap_seconds", "each"),
    [
        (1 * MINUTE, 0.975),
        (10 * MINUTE, 0.77),
        (30 * MINUTE, 0.42),
        (60 * MINUTE, 0.125),
        (120 * MINUTE, 0),
        (480 * MINUTE, 0),
    ],
)
def test_each_hasty_push_costs_as_much(gap_seconds: float, each: float) -> None:
    """The first one is free; with one pass, two hours between pushes cost nothing."""
    found = scores(gap_seconds)
    assert found[0] == 0
    assert found[1] == pytest.approx(each, abs=0.005)
    assert found[-1] == pytest.approx(9 * each, abs=0.05)


def test_passes_share_the_time() -> None:
    """With four passes of a type, half an hour is enough; with a hundred it is no less."""
    assert scores(30 * MINUTE, passes=4)[-1] == 0
    assert scores(30 * MINUTE, passes=100)[-1] == 0
    assert scores(15 * MINUTE, passes=100)[-1] > 0


def test_a_quiet_night_forgives() -> None:
    """Eight hours take three points, and the score is never below none."""
    later = START + timedelta(hours=8)
    assert score_after_push(4, last_pushed_at=START, pushed_at=later, passes=1) == 1
    assert score_after_push(2, last_pushed_at=START, pushed_at=later, passes=1) == 0


def test_a_limit() -> None:
    """The score that the push would lead to is what counts; without a limit nothing does."""
    at_once = {"last_pushed_at": START, "pushed_at": START, "passes": 1}
    assert is_bearable(2, 1.0, **at_once)  # type: ignore[arg-type]
    assert not is_bearable(2, 1.1, **at_once)  # type: ignore[arg-type]
    assert is_bearable(None, 99, **at_once)  # type: ignore[arg-type]
    assert is_bearable(2, 1.9, last_pushed_at=None, pushed_at=START, passes=1)
