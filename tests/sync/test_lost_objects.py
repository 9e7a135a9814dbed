"""Objects and classes that Google has lost, or has though we did not know."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard
from loyalty_wallet.sync import sync_wallet_passes
from tests.shopfront import Configure, balance_at

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db


def test_an_object_that_google_lost_is_inserted_again(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """Case 25: 404 on PATCH becomes an insert, within one attempt."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    google.forget_object(card.google_object_id)

    report = sync_wallet_passes()

    assert report.wallets["google"]["created"] == 1
    assert report.wallets["google"]["attempts"] == 1
    methods = [entry.method for entry in google.object_requests]
    assert methods == ["PATCH", "POST"]
    assert balance_at(google, card) == 5


def test_a_lost_object_is_not_inserted_when_that_is_switched_off(
    google: GoogleEmulator, configure: Configure, right_cards: MakeCards
) -> None:
    """RECREATE_MISSING = False: a pass that was there before fails with `not_found`, at once."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    google.forget_object(card.google_object_id)
    configure(RECREATE_MISSING=False)

    report = sync_wallet_passes()

    assert [(f.code, f.attempts) for f in report.failures] == [("not_found", 1)]


def test_a_lost_class_is_made_again_for_a_new_object(
    google: GoogleEmulator, right_cards: MakeCards, make_cards: MakeCards
) -> None:
    """Case 25: an insert that meets no class brings the class first."""
    right_cards(1)
    (class_id,) = google.classes
    google.forget_class(class_id)
    (card,) = make_cards(1)

    report = sync_wallet_passes()

    assert report.wallets["google"]["created"] == 1
    assert class_id in google.classes
    assert balance_at(google, card) == 0


def test_an_insert_that_meets_the_object_becomes_a_patch(
    google: GoogleEmulator, make_cards: MakeCards
) -> None:
    """Case 26: 409 on insert: somebody was faster, and the card is right all the same."""
    (card,) = make_cards(1)
    card.record("earn", points=7)
    google.fail(object_id=card.google_object_id, method="PATCH", status=404, times=1)
    google.misbehave("close_after", object_id=card.google_object_id, method="POST", times=1)
    google.fail(object_id=card.google_object_id, method="PATCH", status=404, times=1)

    report = sync_wallet_passes()

    assert report.status == "succeeded"
    statuses = [entry.status for entry in google.object_requests]
    assert statuses == [404, None, 404, 409, 200]
    assert balance_at(google, card) == 7
