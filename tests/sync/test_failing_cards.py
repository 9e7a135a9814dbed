"""Cards that fail: each alone, tried again, and on record."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, SyncFailure, SyncRun
from loyalty_wallet.sync import sync_wallet_passes
from tests.shopfront import Configure, balance_at, pass_of

from .sources import break_deliveries_of

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db


def test_a_single_503_is_retried_and_not_a_failure(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """Case 1: one 503, then 200: success at the second attempt."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    google.fail(object_id=card.google_object_id, status=503, times=1)

    report = sync_wallet_passes()

    assert report.status == "succeeded"
    assert report.failed_card_ids == ()
    assert report.wallets["google"]["attempts"] == 2
    assert balance_at(google, card) == 5


def test_one_dead_card_of_fifty_takes_the_whole_ladder_and_delays_nobody(
    google: GoogleEmulator, configure: Configure, right_cards: MakeCards
) -> None:
    """Case 2: 503 for ever: 4 requests at 0, 1, 5 and 21 s; the other 49 go first."""
    configure(RETRY_DELAYS=[1, 4, 16])
    cards = right_cards(50)
    for card in cards:
        card.record("earn", points=1)
    dead, healthy = cards[7], cards[:7] + cards[8:]
    google.fail(object_id=dead.google_object_id, status=503)

    report = sync_wallet_passes()

    tries = [entry.arrived_at for entry in google.requests_for(dead.google_object_id)]
    assert len(tries) == 4
    assert tries[1] - tries[0] >= 1
    assert tries[2] - tries[1] >= 4
    assert tries[3] - tries[2] >= 16
    answered = [google.requests_for(card.google_object_id)[0].answered_at for card in healthy]
    assert all(moment is not None and moment < tries[2] for moment in answered)
    assert report.failed_card_ids == (dead.key,)
    assert report.cards == {
        "selected": 50,
        "synced": 49,
        "unchanged": 0,
        "failed": 1,
        "deferred": 0,
        "left": 0,
    }
    assert [alert["code"] for alert in report.alerts] == []


def test_a_failed_card_is_tried_again_without_a_new_transaction(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """Case 3: the next run takes it up, its success resolves the failure."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    fault = google.fail(object_id=card.google_object_id, status=503)
    first = sync_wallet_passes()
    assert pass_of(card).last_code == "unavailable"
    google.heal(fault)

    second = sync_wallet_passes()

    assert first.failed_card_ids == (card.key,)
    assert second.failed_card_ids == ()
    assert balance_at(google, card) == 5
    failure = SyncFailure.objects.get()
    assert failure.run_id == first.run_id
    assert failure.resolved_by_id == second.run_id
    assert failure.resolved_at is not None
    assert pass_of(card).last_code == ""
    assert pass_of(card).due_at is None


def test_a_refused_payload_fails_at_once_and_alone(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """Case 27: 400 is one attempt; its reason is kept, secrets and e-mails are not."""
    refused, fine = right_cards(2)
    for card in (refused, fine):
        card.record("earn", points=5)
    google.fail(
        object_id=refused.google_object_id,
        status=400,
        reason="invalidResource",
        message="Refused for ann@example.com with Bearer ya29.secret-token",
    )

    report = sync_wallet_passes()

    failure = SyncFailure.objects.get()
    assert (failure.code, failure.attempts, failure.http_status) == ("rejected", 1, 400)
    assert failure.reason == "invalidResource"
    assert "ann@example.com" not in failure.message
    assert "ya29" not in failure.message
    assert not failure.is_retryable
    assert report.failed_card_ids == (refused.key,)
    assert balance_at(google, fine) == 5


def test_objects_that_google_cannot_serve_fail_alone(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """Case 52: 5xx for some objects is no reason to stop for the others."""
    cards = right_cards(12)
    for card in cards:
        card.record("earn", points=5)
    for card in cards[:4]:
        google.fail(object_id=card.google_object_id, status=500)

    report = sync_wallet_passes()

    assert report.status == "partial"
    assert set(report.failed_card_ids) == {card.key for card in cards[:4]}
    assert all(balance_at(google, card) == 5 for card in cards[4:])


def test_a_bug_in_the_card_source_fails_its_card_alone(
    google: GoogleEmulator,
    configure: Configure,
    right_cards: MakeCards,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever `to_card` raises is that card's `invalid_card`, with the traceback in the log."""
    broken, fine = right_cards(2)
    for card in (broken, fine):
        card.record("earn", points=5)
    LoyaltyCard.objects.filter(pk=broken.pk).update(tier="boom")
    configure(CARD_SOURCE="tests.sync.sources.ExplodingSource")

    report = sync_wallet_passes()

    (failure,) = report.failures
    assert (failure.card_id, failure.code, failure.attempts) == (broken.key, "invalid_card", 0)
    assert "RuntimeError" in caplog.text
    assert balance_at(google, fine) == 5


def test_a_poisoned_payload_fails_its_card_alone(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """A balance that no phone can show is named by its field, and nothing is sent for it."""
    poisoned, fine = right_cards(2)
    LoyaltyCard.objects.filter(pk=poisoned.pk).update(points_balance=2**31)
    for card in (poisoned, fine):
        card.record("earn", points=5)

    report = sync_wallet_passes()

    (failure,) = report.failures
    assert (failure.card_id, failure.code) == (poisoned.key, "invalid_card")
    assert "loyaltyPoints.balance" in failure.message
    assert google.requests_for(poisoned.google_object_id) == []
    assert balance_at(google, fine) == 5


def test_a_bug_in_a_wallet_fails_its_cards_and_ends_the_run_in_order(
    google: GoogleEmulator, configure: Configure, right_cards: MakeCards
) -> None:
    """An exception that nobody expected is `bug`; the run goes on and is closed."""
    cards = right_cards(3)
    for card in cards:
        card.record("earn", points=5)
    configure()
    broken = cards[1].google_object_id
    with break_deliveries_of(broken):
        report = sync_wallet_passes()

    assert [(f.card_id, f.code) for f in report.failures] == [(cards[1].key, "bug")]
    assert report.cards["synced"] == 2
    assert SyncRun.objects.latest("pk").finished_at is not None
