"""Fixtures: a shop whose cards are in Apple Wallet as well, and an APNs that runs here."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.utils import timezone
from pytest_django import Settings

from loyalty_wallet.emulator.apple import ApnsEmulator, Authority
from loyalty_wallet.models import AppleDevice, AppleRegistration, LoyaltyCard, WalletPass
from tests.shopfront import Configure

PASS_TYPE = "pass.com.example.loyalty"
TEAM = "ABCDE12345"

_numbers = itertools.count(1)

MakeCards = Callable[[int], list[LoyaltyCard]]


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority(pass_type_identifier=PASS_TYPE, team_identifier=TEAM)


@pytest.fixture
def apns(authority: Authority) -> Iterator[ApnsEmulator]:
    with ApnsEmulator(authority) as emulator:
        yield emulator


@pytest.fixture
def configure_apple(
    settings: Settings,
    configure: Configure,
    authority: Authority,
    apns: ApnsEmulator,
    tmp_path: Path,
) -> Callable[..., None]:
    """Put an Apple wallet beside the Google wallet; call it again to change its OPTIONS."""
    root = tmp_path / "root.pem"
    root.write_bytes(authority.root_pem)

    def change(**changes: Any) -> None:
        options = {
            "pass_type_identifier": PASS_TYPE,
            "team_identifier": TEAM,
            "certificate": authority.certificate_pem,
            "private_key": authority.private_key_pem,
            "wwdr_certificate": authority.wwdr_pem,
            "web_service_url": "https://shop.example.com/wallet/apple",
            "apns_url": apns.url,
            "apns_ca": str(root),
            "timeout_seconds": 2,
            **changes,
        }
        before = django_settings.LOYALTY_WALLET
        apple = {"BACKEND": "loyalty_wallet.wallets.apple.AppleWallet", "OPTIONS": options}
        settings.LOYALTY_WALLET = {**before, "WALLETS": {**before["WALLETS"], "apple": apple}}

    change()
    return change


def iphone_pass(card: LoyaltyCard) -> WalletPass:
    return WalletPass.objects.get(card_key=card.key, wallet="apple")


def register(*cards: LoyaltyCard, push_token: str = "") -> list[AppleRegistration]:
    """Let one phone hold these cards, as they are now; return its registrations."""
    number = next(_numbers)
    device = AppleDevice.objects.create(
        device_library_identifier=f"{number:032x}",
        pass_type_identifier=PASS_TYPE,
        push_token=push_token or f"{number:064x}",
        token_refreshed_at=timezone.now(),
    )
    passes = [iphone_pass(card) for card in cards]
    return [
        AppleRegistration.objects.create(device=device, wallet_pass=row, pushed_tag=row.change_tag)
        for row in passes
    ]
