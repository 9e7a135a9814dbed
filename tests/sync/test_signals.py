"""The signals that a run sends: what they carry, and that no receiver can harm it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.dispatch import Signal

from loyalty_wallet import signals
from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram, SyncRun
from loyalty_wallet.sync import SyncReport, sync_card_to_wallets, sync_wallet_passes
from loyalty_wallet.sync.runs import OpenRun
from tests.shopfront import balance_at

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = ("run_started", "run_finished", "card_failed")


@pytest.fixture
def heard() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """What the signals of runs have said, in order, and that they did so outside transactions."""
    heard: list[tuple[str, dict[str, Any]]] = []
    connected: list[tuple[Signal, Any]] = []

    def connect(name: str) -> None:
        signal: Signal = getattr(signals, name)

        def receive(**arguments: Any) -> None:
            assert not connection.in_atomic_block
            del arguments["signal"]
            heard.append((name, arguments))

        signal.connect(receive, weak=False)
        connected.append((signal, receive))

    for name in NAMES:
        connect(name)
    yield heard
    for signal, receive in connected:
        signal.disconnect(receive)


def test_a_run_tells_of_its_start_its_failures_and_its_end(
    google: GoogleEmulator, right_cards: MakeCards, heard: list[tuple[str, dict[str, Any]]]
) -> None:
    """In this order, each with what a receiver needs."""
    cards = right_cards(3)
    heard.clear()
    for card in cards[:2]:
        card.record("earn", points=5)
    google.fail(object_id=cards[0].google_object_id, status=400, message="Bad colour.")

    report = sync_wallet_passes()

    run = SyncRun.objects.latest("pk")
    assert [name for name, _ in heard] == ["run_started", "card_failed", "run_finished"]
    started, failed, finished = (arguments for _, arguments in heard)
    assert started["run"] == run
    assert failed["run_id"] == run.pk
    assert failed["failure"] == report.failures[0]
    assert finished["run"] == run
    assert finished["report"] == report


def test_real_time_tells_of_failures_without_a_run(
    google: GoogleEmulator, right_cards: MakeCards, heard: list[tuple[str, dict[str, Any]]]
) -> None:
    """A card that fails at the till is told of with no run's number."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    google.fail(object_id=card.google_object_id, status=400)
    heard.clear()

    report = sync_card_to_wallets(card.key)

    ((name, arguments),) = heard
    assert name == "card_failed"
    assert arguments["run_id"] is None
    assert arguments["failure"] == report.failures[0]


def test_a_run_that_breaks_is_finished_too(
    right_cards: MakeCards,
    heard: list[tuple[str, dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever counts starts and ends comes out even."""
    right_cards(1)
    heard.clear()

    def break_down(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("loyalty_wallet.sync.pump.engine.Engine.drain", break_down)
    with pytest.raises(RuntimeError, match="broken"):
        sync_wallet_passes()

    assert [name for name, _ in heard] == ["run_started", "run_finished"]
    report: SyncReport = heard[1][1]["report"]
    assert report.status == "failed"


def test_a_skipped_run_tells_nothing(
    right_cards: MakeCards, heard: list[tuple[str, dict[str, Any]]]
) -> None:
    """It never began."""
    right_cards(1)
    OpenRun.begin(SyncRun(), is_full=True)
    heard.clear()
    assert sync_wallet_passes().status == "skipped"
    assert heard == []


def test_a_receiver_that_fails_harms_nothing(
    google: GoogleEmulator, right_cards: MakeCards, caplog: pytest.LogCaptureFixture
) -> None:
    """Its traceback is in the log; the run goes on and is recorded."""

    def break_down(**_: Any) -> None:
        raise RuntimeError("The receiver is broken.")

    cards = right_cards(2)
    for card in cards:
        card.record("earn", points=5)
    google.fail(object_id=cards[0].google_object_id, status=400)
    for name in NAMES:
        getattr(signals, name).connect(break_down)
    try:
        report = sync_wallet_passes()
    finally:
        for name in NAMES:
            getattr(signals, name).disconnect(break_down)

    assert report.status == "partial"
    assert balance_at(google, cards[1]) == 5
    assert caplog.text.count("RuntimeError: The receiver is broken.") == 3


def test_nothing_is_spent_on_failures_while_nobody_listens(
    google: GoogleEmulator, right_cards: MakeCards, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even the values are made that a receiver would get."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    google.fail(object_id=card.google_object_id, status=400)

    def refuse(*_: object) -> None:
        raise AssertionError("A value was made for nobody.")

    monkeypatch.setattr("loyalty_wallet.sync.telling.CardFailure.of_job", refuse)
    assert sync_wallet_passes().cards["failed"] == 1


def test_changes_are_told_in_their_own_transaction(
    make_cards: MakeCards, program: LoyaltyProgram
) -> None:
    """Cards, programs, then the passes they have made due: nobody hears of what is undone."""
    (card,) = make_cards(1)
    told: list[tuple[str, Any]] = []
    names = {"cards_changed": "card_keys", "program_changed": "program"}
    names["passes_touched"] = "card_keys"
    receivers = []
    for name, argument in names.items():

        def receive(name: str = name, argument: str = argument, **arguments: Any) -> None:
            assert connection.in_atomic_block
            told.append((name, arguments[argument]))

        receivers.append((getattr(signals, name), receive))
        getattr(signals, name).connect(receive, weak=False)
    try:
        card.record("earn", points=5)
        assert sorted(told) == [("cards_changed", [card.key]), ("passes_touched", [card.key])]
        told.clear()
        program.name = "Tea Club"
        program.save()
        assert sorted(told, key=lambda entry: entry[0]) == [
            ("passes_touched", [card.key]),
            ("program_changed", program),
        ]
    finally:
        for signal, receive in receivers:
            signal.disconnect(receive)
