"""Answers that are late, torn or never come, each over a real socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard
from loyalty_wallet.sync import sync_wallet_passes
from tests.shopfront import Configure, balance_at, pass_of

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db


def test_a_server_that_does_not_answer_ends_at_the_total_timeout(
    google: GoogleEmulator, configure: Configure, right_cards: MakeCards
) -> None:
    """Case 6: a black hole costs one timeout per attempt and is reported as `timeout`."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    configure(timeout_seconds=0.3)
    google.misbehave("hang", object_id=card.google_object_id)

    report = sync_wallet_passes()

    (failure,) = report.failures
    assert (failure.code, failure.attempts, failure.http_status) == ("timeout", 4, None)
    assert pass_of(card).is_due


def test_a_port_that_nobody_listens_on_is_a_network_failure(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """Case 6: a refused connection is retried and reported as `network`."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    google.stop()

    report = sync_wallet_passes()

    (failure,) = report.failures
    assert (failure.code, failure.attempts) == ("network", 4)
    google.start()
    assert sync_wallet_passes().failed_card_ids == ()
    assert balance_at(google, card) == 5


def test_an_answer_just_in_time_counts_and_a_late_one_does_not(
    google: GoogleEmulator, configure: Configure, right_cards: MakeCards
) -> None:
    """Case 7: below the timeout is a success, above it the slot is free again."""
    in_time, late = right_cards(2)
    for card in (in_time, late):
        card.record("earn", points=5)
    configure(timeout_seconds=1.0, RETRY_DELAYS=[], concurrency=1)
    google.misbehave("latency", object_id=in_time.google_object_id, seconds=0.5)
    google.misbehave("latency", object_id=late.google_object_id, seconds=1.6)

    report = sync_wallet_passes()

    assert report.cards["synced"] == 1
    assert [(f.card_id, f.code) for f in report.failures] == [(late.key, "timeout")]


@pytest.mark.parametrize("action", ["close_before", "close_after"])
def test_a_connection_that_closes_is_retried_and_counted_once(
    google: GoogleEmulator, right_cards: MakeCards, action: Any
) -> None:
    """Case 29: whether the write was applied or not, the end is right."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    google.misbehave(action, object_id=card.google_object_id, times=1)

    report = sync_wallet_passes()

    assert report.cards["synced"] == 1
    assert report.wallets["google"]["updated"] == 1
    assert len(google.requests_for(card.google_object_id)) == 2
    assert balance_at(google, card) == 5


@pytest.mark.parametrize("action", ["reset_body", "truncated", "html"])
def test_what_is_not_an_answer_is_never_a_success(
    google: GoogleEmulator, right_cards: MakeCards, action: Any
) -> None:
    """Case 30: a torn body, cut JSON or a proxy's page with status 200 is retried, then failed."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    google.misbehave(action, object_id=card.google_object_id)

    report = sync_wallet_passes()

    (failure,) = report.failures
    assert failure.code in {"network", "unavailable"}
    assert failure.attempts == 4
    assert pass_of(card).is_due


def test_a_dripping_server_is_cut_off_at_the_total_timeout(
    google: GoogleEmulator, configure: Configure, right_cards: MakeCards
) -> None:
    """Case 32: bytes that keep coming do not extend the time."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    configure(timeout_seconds=0.4, RETRY_DELAYS=[0.05])
    google.misbehave("drip", object_id=card.google_object_id, seconds=0.1)

    report = sync_wallet_passes()

    assert [(f.code, f.attempts) for f in report.failures] == [("timeout", 2)]


def test_a_write_whose_answer_was_lost_is_not_trusted_when_the_card_returns(
    google: GoogleEmulator, configure: Configure, right_cards: MakeCards
) -> None:
    """Google has 5 though we never heard; back at 0 the card equals what we last recorded."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    google.misbehave("close_after", object_id=card.google_object_id)
    assert sync_wallet_passes().failed_card_ids == (card.key,)
    assert balance_at(google, card) == 5
    google.heal()
    card.record("redeem", points=5)

    sync_wallet_passes()

    assert balance_at(google, card) == 0
