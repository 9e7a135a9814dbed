"""The fixtures for projects, beside what `tests/test_docs_examples.py` shows of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_django import Settings

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.emulator.apple import ApnsEmulator
from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram
from loyalty_wallet.registry import get_wallets
from loyalty_wallet.sync import sync_wallet_passes
from loyalty_wallet.testing import (
    WalletPhone,
    wallet_apns,
    wallet_authority,
    wallet_google,
    wallet_phone,
    wallet_phones,
)
from loyalty_wallet.wallets.apple import AppleWallet
from loyalty_wallet.wallets.google import GoogleWallet

__all__ = ["wallet_apns", "wallet_authority", "wallet_google", "wallet_phone", "wallet_phones"]


@pytest.fixture
def brands(settings: Settings) -> None:
    """Settings of a shop with two brands at Google and one pass type, none of them reachable."""
    google = {
        "BACKEND": "loyalty_wallet.wallets.google.GoogleWallet",
        "OPTIONS": {
            "issuer_id": "3388",
            "credentials": "no-such-key.json",
            "holders": "ONE_USER_ALL_DEVICES",
            "callback_url": "https://shop.example/wallet/google/callback/",
        },
    }
    apple = {
        "BACKEND": "loyalty_wallet.wallets.apple.AppleWallet",
        "OPTIONS": {
            "pass_type_identifier": "pass.example.real",
            "team_identifier": "REALTEAM01",
            "certificate": "no-such-certificate.p12",
            "private_key_password": "secret",
            "web_service_url": "https://shop.example/wallet/apple",
            "change_messages": False,
        },
    }
    settings.LOYALTY_WALLET = {
        "WALLETS": {"coffee": google, "tea": google, "iphone": apple},
        "SET_ASIDE_AFTER": 5,
    }


@pytest.mark.usefixtures("brands")
def test_every_wallet_of_the_settings_talks_to_an_emulator(
    request: pytest.FixtureRequest, settings: Settings
) -> None:
    """Under its own alias and with its own options, but for those that lead out of this machine."""
    google: GoogleEmulator = request.getfixturevalue("wallet_google")
    apns: ApnsEmulator = request.getfixturevalue("wallet_apns")
    wallets = get_wallets()
    assert list(wallets) == ["coffee", "tea", "iphone"]
    for alias in ("coffee", "tea"):
        wallet = wallets[alias]
        assert isinstance(wallet, GoogleWallet)
        assert (wallet.api_url, wallet.holders) == (google.url, "ONE_USER_ALL_DEVICES")
        assert wallet.callback_url == ""
        assert wallet.check() == []
    apple = wallets["iphone"]
    assert isinstance(apple, AppleWallet)
    assert (apple._apns_url, apple.change_messages) == (apns.url, False)
    assert apple.check() == []
    assert settings.LOYALTY_WALLET["SET_ASIDE_AFTER"] == 5


def test_each_phone_is_woken_for_its_own_cards(
    wallet_phones: Callable[[], WalletPhone], wallet_apns: ApnsEmulator
) -> None:
    """Two customers, one push each for what is theirs; a card that is on no phone has none."""
    program = LoyaltyProgram.objects.create(slug="club", name="Club", issuer_name="Shop")
    first, second = (
        LoyaltyCard.objects.create(program=program, card_number=number) for number in ("1", "2")
    )
    phones = [wallet_phones(), wallet_phones()]
    for phone, card in zip(phones, (first, second), strict=True):
        assert phone.add_card(card).balance == 0
    first.record("earn", points=3)
    assert sync_wallet_passes().status == "succeeded"
    assert [push.push_token for push in wallet_apns.pushes] == [phones[0].push_token]
    assert (phones[0].card(first).balance, phones[1].card(second).balance) == (3, 0)
    with pytest.raises(KeyError):
        phones[0].card(second)
    assert [phone.complaints for phone in phones] == [[], []]


def test_a_card_that_cannot_be_downloaded_says_so(wallet_phone: WalletPhone) -> None:
    """A test fails where the customer would have been left with an error page."""
    program = LoyaltyProgram.objects.create(slug="club", name="Club", issuer_name="Shop")
    card = LoyaltyCard.objects.create(program=program, card_number="1", is_active=False)
    with pytest.raises(AssertionError, match="was answered with 4"):
        wallet_phone.add_card(card)
