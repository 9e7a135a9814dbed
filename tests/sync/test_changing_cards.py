"""Cards that change or are deleted before their push, or during it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection

from loyalty_wallet.emulator import GoogleEmulator, LoggedRequest
from loyalty_wallet.models import LoyaltyCard, WalletPass
from loyalty_wallet.sync import sync_wallet_passes
from tests.shopfront import balance_at, pass_of

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db


@pytest.mark.django_db(transaction=True)
def test_a_card_deleted_during_its_push_does_no_harm(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """Case 54: no crash, and nobody calls it a failure."""
    gone, stays = right_cards(2)
    for card in (gone, stays):
        card.record("earn", points=5)
    gone_id, gone_pk = gone.google_object_id, gone.pk

    def delete(request: LoggedRequest) -> None:
        if request.resource_id == gone_id:
            LoyaltyCard.objects.filter(pk=gone_pk).delete()
            connection.close()

    google.on_request = delete

    report = sync_wallet_passes()

    assert report.status == "succeeded"
    assert report.failed_card_ids == ()
    assert balance_at(google, stays) == 5
    assert google.objects[gone_id]["state"] == "INACTIVE"


def test_a_card_deleted_before_its_push_is_not_a_failure(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """Case 54: a pass whose card is gone is made inactive, and is not due any more."""
    gone, stays = right_cards(2)
    for card in (gone, stays):
        card.record("earn", points=5)
    gone_pass = pass_of(gone)
    gone.delete()

    report = sync_wallet_passes()

    assert report.status == "succeeded"
    gone_pass.refresh_from_db()
    assert gone_pass.due_at is None
    assert gone_pass.state == WalletPass.State.VOIDED
    assert google.objects[gone_pass.remote_id]["state"] == "INACTIVE"


@pytest.mark.django_db(transaction=True)
def test_a_balance_that_moves_during_its_push_is_pushed_again_in_the_same_run(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """Case 9: a success is recorded only for the revision that was delivered."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    object_id = card.google_object_id
    seen: list[int] = []

    def spend_once(request: LoggedRequest) -> None:
        if request.resource_id == object_id and not seen:
            seen.append(request.sequence)
            LoyaltyCard.objects.get(pk=card.pk).record("redeem", points=2)
            connection.close()

    google.on_request = spend_once

    report = sync_wallet_passes()

    assert balance_at(google, card) == 3
    assert pass_of(card).due_at is None
    assert report.cards["selected"] == 1
    assert report.wallets["google"]["updated"] == 2
