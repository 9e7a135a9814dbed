"""Whose turn it is in a lane."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, WalletPass
from loyalty_wallet.sync import sync_wallet_passes
from loyalty_wallet.sync.leases import ClaimedPass, Lease
from loyalty_wallet.sync.pump.jobs import Job
from loyalty_wallet.sync.pump.schedule import Schedule
from tests.shopfront import Configure


def job(name: str) -> Job:
    row = ClaimedPass(
        pk=1,
        card_key=name,
        remote_id=name,
        program_key="",
        card_label=name,
        desired_revision=1,
        fingerprint="",
        synced_at=None,
        is_forced=False,
        takeovers=0,
        failing_runs=0,
        last_code="",
        priority=0,
        state="active",
    )
    return Job(row=row, lease=Lease.__new__(Lease))


def names_at(schedule: Schedule, now: float, *, may_begin: bool = True) -> list[str]:
    """Return whose turns they are, one after the other, as long as there is somebody's."""
    names = []
    while (taken := schedule.next(now, may_begin=may_begin)) is not None:
        names.append(taken.row.card_key)
    return names


def test_untried_jobs_have_their_turns_in_the_order_of_their_claim() -> None:
    """Which is the database's: what failed last time, then the oldest."""
    schedule = Schedule()
    for name in "abc":
        schedule.add(job(name))
    assert schedule.untried == 3
    assert names_at(schedule, 0) == ["a", "b", "c"]
    assert schedule.untried == 0


def test_a_retry_waits_for_its_time_and_then_goes_first() -> None:
    """Not a moment before, and before anything that nobody has tried."""
    schedule = Schedule()
    schedule.retry(job("late"), now=0, delay=4, is_last=False)
    schedule.retry(job("soon"), now=0, delay=1, is_last=False)
    assert schedule.waiting == 2
    assert schedule.next(0.99, may_begin=True) is None
    assert schedule.seconds_to_retry(0.5) == 0.5

    schedule.add(job("new"))
    assert names_at(schedule, 1) == ["soon", "new"]
    assert names_at(schedule, 4) == ["late"]
    assert schedule.seconds_to_retry(4) is None


def test_a_last_attempt_lets_new_cards_go_first_for_as_long_again_as_it_waited() -> None:
    """Then it has its turn however many are still new: it does not wait for the end of the run."""
    schedule = Schedule()
    schedule.retry(job("tried thrice"), now=0, delay=16, is_last=True)
    schedule.add(job("new"))
    assert names_at(schedule, 15.9) == ["new"]

    for name in ("second", "third"):
        schedule.add(job(name))
    taken = schedule.next(31.9, may_begin=True)
    assert taken is not None
    assert taken.row.card_key == "second"
    assert names_at(schedule, 32) == ["tried thrice", "third"]


def test_a_last_attempt_lets_nobody_go_first_who_does_not_go() -> None:
    """With nothing new, or nothing new allowed, it waits no longer than any other."""
    schedule = Schedule()
    schedule.retry(job("tried thrice"), now=0, delay=16, is_last=True)
    assert names_at(schedule, 16) == ["tried thrice"]

    schedule.retry(job("tried thrice"), now=0, delay=16, is_last=True)
    schedule.add(job("new"))
    assert schedule.seconds_to_retry(10) == 6
    assert names_at(schedule, 16, may_begin=False) == ["tried thrice"]
    assert names_at(schedule, 16) == ["new"]


def test_a_retry_that_is_not_the_last_goes_before_one_that_is() -> None:
    """It has the longer way before it."""
    schedule = Schedule()
    schedule.retry(job("last"), now=0, delay=1, is_last=True)
    schedule.retry(job("second"), now=2, delay=4, is_last=False)
    assert names_at(schedule, 6) == ["second", "last"]


def test_who_stops_gets_back_everything() -> None:
    """Nothing is forgotten in a queue."""
    schedule = Schedule()
    schedule.add(job("new"))
    schedule.retry(job("second"), now=0, delay=4, is_last=False)
    schedule.retry(job("last"), now=0, delay=16, is_last=True)
    assert [dropped.row.card_key for dropped in schedule.drop_untried()] == ["new"]
    assert [dropped.row.card_key for dropped in schedule.drop_retries()] == ["second", "last"]
    assert (schedule.untried, schedule.waiting) == (0, 0)


@pytest.mark.django_db
@pytest.mark.parametrize("delays", [[0, 0, 0], [0], []])
def test_a_run_says_which_attempt_is_the_last(
    google: GoogleEmulator,
    configure: Configure,
    right_cards: Callable[[int], list[LoyaltyCard]],
    monkeypatch: pytest.MonkeyPatch,
    delays: list[int],
) -> None:
    """The one after the last delay; where there is but one attempt, none waits."""
    are_last: list[bool] = []
    retry = Schedule.retry

    def spy(schedule: Schedule, job: Job, **how: Any) -> None:
        are_last.append(how["is_last"])
        retry(schedule, job, **how)

    monkeypatch.setattr(Schedule, "retry", spy)
    configure(RETRY_DELAYS=delays)
    (card,) = right_cards(1)
    card.record("earn", points=1)
    google.fail(object_id=WalletPass.objects.get().remote_id)

    assert sync_wallet_passes().cards["failed"] == 1
    assert are_last == [number == len(delays) for number in range(1, len(delays) + 1)]
