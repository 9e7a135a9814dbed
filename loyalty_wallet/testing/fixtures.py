"""The fixtures, by the names under which tests ask for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.urls import reverse
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from ..emulator import GoogleEmulator
from ..emulator.apple import ApnsEmulator, Authority, Push
from ..wallets.apple import AppleWallet
from ..wallets.google import GoogleWallet
from .phone import WalletPhone
from .settings import with_options

PASS_TYPE = "pass.com.example.loyalty"  # noqa: S105 (no secret)
TEAM = "ABCDE12345"
NOBODY = "https://phones.invalid/wallet/apple"
"""Where no phone asks: for tests without one."""


@pytest.fixture
def wallet_google(settings: Settings) -> Iterator[GoogleEmulator]:
    """A Google Wallet that runs here, to which all Google wallets of the settings now talk.

    It counts as Google without a limit of requests. Its callbacks go nowhere, until a test names a
    `callback_url` among the wallet's OPTIONS.
    """
    with GoogleEmulator(requests_per_second=None) as google:
        options = {**google.wallet_options, "requests_per_second": None, "callback_url": ""}
        options["save_url"] = google.save_url
        settings.LOYALTY_WALLET = with_options(GoogleWallet, options, default_alias="google")
        yield google


@pytest.fixture(scope="session")
def wallet_authority() -> Authority:
    """A throw-away Apple: it issues the certificates that passes and pushes are signed with."""
    return Authority(pass_type_identifier=PASS_TYPE, team_identifier=TEAM)


@pytest.fixture
def wallet_apns(
    settings: Settings, wallet_authority: Authority, tmp_path: Path
) -> Iterator[ApnsEmulator]:
    """An APNs that runs here, to which all Apple wallets of the settings now push.

    They sign with certificates of `wallet_authority`. Phones need `wallet_phone`.
    """
    root = tmp_path / "wallet-root.pem"
    root.write_bytes(wallet_authority.root_pem)
    with ApnsEmulator(wallet_authority) as apns:
        options = {
            "pass_type_identifier": PASS_TYPE,
            "team_identifier": TEAM,
            "certificate": wallet_authority.certificate_pem,
            "private_key": wallet_authority.private_key_pem,
            "private_key_password": None,
            "wwdr_certificate": wallet_authority.wwdr_pem,
            "push_key": None,
            "push_key_id": "",
            "web_service_url": NOBODY,
            "apns_url": apns.url,
            "apns_ca": str(root),
            "throttle_score": None,
        }
        settings.LOYALTY_WALLET = with_options(AppleWallet, options, default_alias="apple")
        yield apns


@pytest.fixture
def wallet_phones(
    settings: Settings,
    wallet_authority: Authority,
    wallet_apns: ApnsEmulator,
    live_server: LiveServer,
) -> Iterator[Callable[[], WalletPhone]]:
    """Returns a new iPhone each time it is called, with the live server as its web service.

    `wallet_apns` wakes it: when a sync returns, the phone has fetched what it was told of. The
    project must mount `loyalty_wallet.webservice.urls`.
    """
    phones: dict[str, WalletPhone] = {}

    def wake(push: Push) -> None:
        if phone := phones.get(push.push_token):
            phone.wake()

    def buy() -> WalletPhone:
        phone = WalletPhone(wallet_authority, url=live_server.url)
        phones[phone.push_token] = phone
        return phone

    web_service = reverse("loyalty_wallet:apple_log").removesuffix("/v1/log")
    options = {"web_service_url": f"{live_server.url}{web_service}"}
    settings.LOYALTY_WALLET = with_options(AppleWallet, options, default_alias="apple")
    wallet_apns.on_push = wake
    yield buy
    for phone in phones.values():
        phone.close()


@pytest.fixture
def wallet_phone(wallet_phones: Callable[[], WalletPhone]) -> WalletPhone:
    """An iPhone: see `wallet_phones`."""
    return wallet_phones()
