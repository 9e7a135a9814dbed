"""Links that open one card: what they hide, and when they end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.test import RequestFactory
from pytest_django import Settings

from loyalty_wallet.adding import card_page_url, key_of, pass_url, read_link, sign_link
from loyalty_wallet.exceptions import LinkError
from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize("key", ["4711", "ada@example.com", "Zoë/7 #1", "x" * 191])
def test_a_link_stands_for_its_card_and_does_not_name_it(key: str) -> None:
    """Neither a number to count on from nor an e-mail shows in the address."""
    signed = sign_link(key)
    assert read_link(signed) == key
    assert key not in signed
    assert signed.isascii()
    assert set("/?#%=+&@: ").isdisjoint(signed)


def test_each_link_is_another_one() -> None:
    """Two links do not tell that they open the same card."""
    assert sign_link("4711") != sign_link("4711")


@pytest.mark.parametrize(
    "forged", ["", "4711", "gAAAA", "é", "%00", "A" * 97, "A" * 5000, "../../etc/passwd"]
)
def test_what_was_never_signed_opens_nothing(forged: str) -> None:
    """Whatever stands in the address, the answer is the same error."""
    with pytest.raises(LinkError) as raised:
        read_link(forged)
    assert not raised.value.is_expired


def test_a_changed_link_opens_nothing() -> None:
    """Each character of a link counts."""
    signed = sign_link("4711")
    for place in range(0, len(signed) - 1, 7):
        other = "A" if signed[place] != "A" else "B"
        with pytest.raises(LinkError):
            read_link(signed[:place] + other + signed[place + 1 :])


def test_a_link_expires(settings: Settings) -> None:
    """It opens until LINK_MAX_AGE is over, and says afterwards that it once did."""
    settings.LOYALTY_WALLET = {"LINK_MAX_AGE": timedelta(hours=1)}
    with time_machine.travel(NOON, tick=False) as clock:
        signed = sign_link("4711")
        clock.shift(3599)
        assert read_link(signed) == "4711"
        clock.shift(2)
        with pytest.raises(LinkError) as raised:
            read_link(signed)
    assert raised.value.is_expired


def test_links_outlive_a_change_of_the_secret_key(settings: Settings) -> None:
    """As long as the old key is a fallback; without it they are forgeries."""
    settings.SECRET_KEY = "the old one, long enough to be one" * 2
    signed = sign_link("4711")
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "the new one, long enough to be one" * 2
    assert read_link(signed) == "4711"
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(LinkError):
        read_link(signed)


def test_addresses_are_paths_or_whole() -> None:
    """A page has its own host; an e-mail is given one by a request."""
    request = RequestFactory().get("/", headers={"host": "localhost"})
    assert card_page_url("4711").startswith("/wallet/cards/")
    assert pass_url("4711", request).startswith("http://localhost/wallet/cards/")
    assert pass_url("4711").endswith("/card.pkpass")


def test_a_card_is_a_row_of_the_source_or_a_key(settings: Settings) -> None:
    """A row of another table has another table's key, which may be somebody else's."""
    card = LoyaltyCard(pk=7)
    assert [key_of(card), key_of("7"), key_of(7)] == ["7", "7", "7"]
    with pytest.raises(TypeError, match="LoyaltyProgram is neither a LoyaltyCard nor a card key"):
        key_of(LoyaltyProgram(pk=7))
    settings.LOYALTY_WALLET = {"CARD_SOURCE": "tests.shop.sources.MemberSource"}
    with pytest.raises(TypeError, match="LoyaltyCard is neither a Member nor a card key"):
        card_page_url(card)
