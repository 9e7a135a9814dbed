"""`current_version`: an iPhone's pass is on record, and current, when it is handed out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from loyalty_wallet.adding import current_version
from loyalty_wallet.emulator.apple import ApnsEmulator
from loyalty_wallet.exceptions import AddToWalletError
from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram, WalletPass
from tests.phonefront import iphone_pass, register

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _with_apple(configure_apple: Callable[..., None]) -> None:
    """Every test here has an Apple wallet beside Google's."""


def points_on(wallet_pass: WalletPass) -> int:
    [points] = wallet_pass.payload["pass"]["storeCard"]["headerFields"]
    return int(points["value"])


def test_pass_is_made_when_the_customer_asks(waiting_card: LoyaltyCard) -> None:
    """Only the one that was asked for: nothing goes to Google."""
    assert points_on(current_version(waiting_card)) == 120
    assert not WalletPass.objects.filter(wallet="google").exists()


def test_version_is_the_present_one(waiting_card: LoyaltyCard) -> None:
    """What changed since the last delivery is on the pass that is handed out."""
    first = current_version(waiting_card)
    waiting_card.record("earn", points=5)
    second = current_version(waiting_card)
    assert points_on(second) == 125
    assert second.change_tag > first.change_tag
    assert current_version(waiting_card).change_tag == second.change_tag


def test_push_service_that_is_down_holds_nothing_back(
    waiting_card: LoyaltyCard, apns: ApnsEmulator
) -> None:
    """Another phone with the card cannot be told: this one gets the new version all the same."""
    current_version(waiting_card)
    register(waiting_card)
    apns.stop()
    waiting_card.record("earn", points=5)
    assert points_on(current_version(waiting_card)) == 125
    assert iphone_pass(waiting_card).is_due


def test_program_without_an_apple_wallet_has_no_pass(
    program: LoyaltyProgram, waiting_card: LoyaltyCard
) -> None:
    """Blank in the program means off."""
    program.apple_wallet = ""
    program.save()
    with pytest.raises(AddToWalletError) as raised:
        current_version(waiting_card.key)
    assert raised.value.code == "no_wallet"
