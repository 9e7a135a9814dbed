"""Alarms of runs: raised once, open until a later run is fine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.dispatch import Signal
from django.utils import timezone

from loyalty_wallet import signals
from loyalty_wallet.models import SyncAlert
from loyalty_wallet.sync import Selection, SyncReport
from loyalty_wallet.sync.alarms.alerts import judge_run

from .judging import at_once, ended, judge, open_codes

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def listen() -> Iterator[Callable[[Signal], list[dict[str, Any]]]]:
    """Connect to a signal; what is returned fills with the arguments of its receivers."""
    connected = []

    def to(signal: Signal) -> list[dict[str, Any]]:
        heard: list[dict[str, Any]] = []

        def receive(**arguments: Any) -> None:
            arguments.pop("signal")
            heard.append({**arguments, "in_transaction": connection.in_atomic_block})

        signal.connect(receive, weak=False)
        connected.append((signal, receive))
        return heard

    yield to
    for signal, receive in connected:
        signal.disconnect(receive)


@pytest.mark.parametrize(
    ("run", "codes"),
    [
        ({"selected": 400, "failed": 20}, ["failed_cards"]),
        ({"selected": 400, "failed": 21}, ["failed_cards", "failure_rate"]),
        ({"selected": 1000, "failed": 10}, []),
        ({"selected": 1000, "failed": 11}, ["failed_cards"]),
        ({"seconds": 29.9}, []),
        ({"seconds": 30.0}, []),
        ({"seconds": 30.1}, ["duration"]),
        ({"selected": 0}, []),
    ],
)
def test_only_above_its_threshold(run: dict[str, Any], codes: list[str]) -> None:
    """Cases 47 to 50: 5 %, 10 cards and 30 s are fine, more are not; no card is no division."""
    assert judge(ended(**run)) == codes


def test_it_is_raised_once_until_the_state_changes(
    caplog: pytest.LogCaptureFixture, listen: Callable[[Signal], list[dict[str, Any]]]
) -> None:
    """Three bad runs, a good one, a bad one: raised, resolved and raised again, each told once."""
    raised, resolved = listen(signals.alert_raised), listen(signals.alert_resolved)
    first = ended(failed=6)
    for run in (first, ended(failed=9), ended(failed=7)):
        judge(run)
    assert [entry["alert"].run_id for entry in raised] == [first.pk]
    (row,) = SyncAlert.objects.all()
    assert (row.code, row.run, row.value, row.threshold) == ("failure_rate", first, 0.07, 0.05)

    assert judge(ended(failed=5)) == []
    assert [entry["alert"].value for entry in resolved] == [0.05]
    assert resolved[0]["alert"].is_resolved

    judge(ended(failed=6))
    assert [entry["alert"].code for entry in raised] == ["failure_rate"] * 2
    levels = [record.levelno for record in caplog.records if record.name == "loyalty_wallet"]
    assert levels == [logging.ERROR, logging.INFO, logging.ERROR]
    assert not any(entry["in_transaction"] for entry in raised + resolved)


@pytest.mark.parametrize(
    ("selection", "is_limited"),
    [
        (Selection.of_cards(["1", "2", "3"]), False),
        (Selection.of_failed(), False),
        (Selection.of_run(1), False),
        (Selection.of_changes_since(timezone.now()), False),
        (Selection().narrowed(program="coffee"), False),
        (Selection().narrowed(wallet="google"), False),
        (Selection(), True),
    ],
)
def test_a_part_says_nothing_of_the_whole(selection: Selection, is_limited: bool) -> None:
    """A re-sync of some cards neither raises an alarm nor resolves the one of a full run."""
    stored = selection.as_json()
    assert judge(ended(failed=100, selection=stored), is_limited=is_limited) == []
    judge(ended(failed=6))
    assert judge(ended(failed=0, selection=stored), is_limited=is_limited) == ["failure_rate"]


def test_a_run_that_left_cards_behind_resolves_nothing() -> None:
    """It does not know how the rest would have gone; what it saw is bad enough to raise, though."""
    judge(ended(failed=6))
    assert judge(ended(failed=0, left=50)) == ["failure_rate"]
    assert judge(ended(failed=0, left=50, seconds=31)) == ["duration", "failure_rate"]


def test_two_processes_raise_one_alarm(listen: Callable[..., list[dict[str, Any]]]) -> None:
    """The run's leader and the minute's task see it at the same time; one of them tells of it."""
    raised = listen(signals.alert_raised)
    run = ended(failed=6)
    report = SyncReport.of_run(run)
    at_once(lambda: judge_run(run, report, is_limited=False))

    assert open_codes() == ["failure_rate"]
    assert len(raised) == 1
