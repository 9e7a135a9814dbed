"""Cards that are deactivated, come back, or expire while nobody touches them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from loyalty_wallet.adding import find_card
from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.exceptions import AddToWalletError
from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram
from loyalty_wallet.sync import deliver_overdue, sync_wallet_passes
from tests.phonefront import iphone_pass
from tests.shopfront import pass_of

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db


def state_of(google: GoogleEmulator, card: LoyaltyCard) -> str:
    state: str = google.objects[card.google_object_id]["state"]
    return state


@pytest.mark.usefixtures("configure_apple")
@pytest.mark.parametrize("is_about_the_program", [False, True])
def test_what_is_deactivated_is_void_until_it_is_active_again(
    google: GoogleEmulator, right_cards: MakeCards, is_about_the_program: bool
) -> None:
    """A card, or its program with all cards, there and back."""
    (card,) = right_cards(1)
    switched = LoyaltyProgram.objects.get() if is_about_the_program else card
    for is_active, state in ((False, "INACTIVE"), (True, "ACTIVE")):
        switched.is_active = is_active
        switched.save()
        sync_wallet_passes()

        assert state_of(google, card) == state
        assert iphone_pass(card).payload["pass"]["voided"] is not is_active


@pytest.mark.usefixtures("configure_apple")
def test_a_card_expires_untouched(google: GoogleEmulator, right_cards: MakeCards) -> None:
    """The first run after the moment tells Google; an iPhone has known the date all along."""
    (card,) = right_cards(1)
    card.expires_at = timezone.now() + timedelta(days=30)
    card.save()
    sync_wallet_passes()
    assert state_of(google, card) == "ACTIVE"
    assert "end" in google.objects[card.google_object_id]["validTimeInterval"]
    version = iphone_pass(card)
    assert version.payload["pass"]["expirationDate"]

    with time_machine.travel(card.expires_at - timedelta(seconds=2)):
        assert sync_wallet_passes().cards["selected"] == 0
    with time_machine.travel(card.expires_at + timedelta(seconds=1)):
        report = sync_wallet_passes()
        assert report.wallets["google"]["updated"] == 1
        assert report.wallets["apple"]["unchanged"] == 1
        assert sync_wallet_passes().cards["selected"] == 0
        with pytest.raises(AddToWalletError) as refusal:
            find_card(card.key)

    assert refusal.value.code == "expired"
    assert state_of(google, card) == "EXPIRED"
    assert iphone_pass(card).change_tag == version.change_tag


def test_the_watch_of_every_minute_sees_it(google: GoogleEmulator, right_cards: MakeCards) -> None:
    """No full run is needed: what looks for lost pushes looks for expired cards as well."""
    (card,) = right_cards(1)
    card.expires_at = timezone.now() + timedelta(hours=1)
    card.save()
    sync_wallet_passes()

    with time_machine.travel(card.expires_at + timedelta(seconds=1)):
        deliver_overdue()
        assert pass_of(card).is_due
    with time_machine.travel(card.expires_at + timedelta(minutes=5)):
        sync_wallet_passes()

    assert state_of(google, card) == "EXPIRED"


def test_an_expiry_that_is_put_off_revives_the_card(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """An expired card with a new date is active again, and expires then."""
    (card,) = right_cards(1)
    card.expires_at = timezone.now() - timedelta(days=1)
    card.save()
    sync_wallet_passes()
    assert state_of(google, card) == "EXPIRED"
    assert pass_of(card).expires_at is None

    card.expires_at = timezone.now() + timedelta(days=1)
    card.save()
    sync_wallet_passes()

    assert state_of(google, card) == "ACTIVE"
    assert pass_of(card).expires_at == card.expires_at
