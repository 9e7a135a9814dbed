"""Phones that another system has served ask at their old address, with its tags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from django.urls import include, path
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from loyalty_wallet.emulator.apple import ApnsEmulator, PassOnPhone, Phone
from loyalty_wallet.models import LoyaltyCard
from loyalty_wallet.sync import sync_wallet_passes
from loyalty_wallet.sync.importing import PassRow, import_passes
from project.urls import urlpatterns as project_urls
from tests.phonefront import PASS_TYPE, TEAM, iphone_pass

from .conftest import Client

MakeCards = Callable[[int], list[LoyaltyCard]]

TOKEN = "vxwxd7J8AlNNFPS8k0a0FfUFtq0ewzFd"
OLD_TAGS = [
    "2026-10-31T08:15:42.123456+00:00",  # django-walletpass
    "2026-10-31 08:15:42",  # django-walletpass, before its version 1
    "2026-10-31T08:15:42Z",
    "1761898542.5",
    "",
]

urlpatterns = [
    *project_urls,
    path("api/passes/", include("loyalty_wallet.webservice.apple_urls")),
]


@pytest.fixture
def old_address(
    settings: Settings, live_server: LiveServer, configure_apple: Callable[..., None]
) -> str:
    """Serve at the old address as well; it is what passes go on to name."""
    settings.ROOT_URLCONF = __name__
    url = f"{live_server.url}/api/passes"
    configure_apple(web_service_url=url)
    return url


def old_pass(url: str, serial_number: str) -> PassOnPhone:
    """Return a pass as the other system has made it."""
    content: dict[str, Any] = {
        "passTypeIdentifier": PASS_TYPE,
        "teamIdentifier": TEAM,
        "serialNumber": serial_number,
        "authenticationToken": TOKEN,
        "webServiceURL": url,
    }
    return PassOnPhone(content, b"", last_modified="Sat, 31 Oct 2026 08:15:42 GMT")


@pytest.mark.parametrize("tag", OLD_TAGS[:2])
def test_a_phone_goes_on_as_if_nothing_had_happened(
    old_address: str, make_cards: MakeCards, phone: Phone, apns: ApnsEmulator, tag: str
) -> None:
    """It is rung, asks with the old tag, and fetches all of its passes; from then on what is new."""
    cards = make_cards(2)
    for card in cards:
        phone.passes[card.card_number] = old_pass(old_address, card.card_number)
    phone.tag = tag
    rows = [
        PassRow(
            place=card.card_number,
            card=card.key,
            wallet="apple",
            remote_id=card.card_number,
            token=TOKEN,
            device=phone.device_library_identifier,
            push_token=phone.push_token,
        )
        for card in cards
    ]
    assert import_passes(rows).devices == 2
    apns.on_push = lambda _: phone.wake()

    cards[0].record("earn", points=7)
    assert sync_wallet_passes().status == "succeeded"
    assert [phone.passes[card.card_number].balance for card in cards] == [7, 0]
    assert phone.tag == str(iphone_pass(cards[1]).change_tag)

    cards[1].record("earn", points=9)
    assert sync_wallet_passes().status == "succeeded"
    assert [phone.passes[card.card_number].balance for card in cards] == [7, 9]
    assert phone.complaints == []
    assert phone.remove(cards[0].card_number) == 200


@pytest.mark.parametrize("tag", [*OLD_TAGS, "2026-13-45T99:99:99", "%00", "9" * 40, "-5", "٣"])
def test_an_old_tag_means_all_passes(client: Client, tag: str) -> None:
    """However it is written into the address: never an error, and never nothing."""
    client.register()
    for spelling in (tag, quote(tag)):
        path = f"devices/{client.device}/registrations/{PASS_TYPE}?passesUpdatedSince={spelling}"
        answer = client.send("GET", path)
        assert answer.status_code == 200
        assert answer.json()["serialNumbers"] == [client.serial_number]
