"""Links to cards: strange and expired ones, what they do not take, and where they are not written."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from loyalty_wallet.adding import sign_link
from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard

from .browsing import google_url, is_closed, text_of

pytestmark = pytest.mark.django_db


def test_links_are_in_no_log(
    browser: Client,
    card: LoyaltyCard,
    google: GoogleEmulator,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """They open the card: neither Django's log of bad answers, nor its mail, nor ours has them."""
    google.fail(status=503)
    url = google_url(card)
    with caplog.at_level(logging.DEBUG):
        assert browser.get(url).status_code == 503
        LoyaltyCard.objects.update(is_active=False)
        assert browser.get(url).status_code == 410
    assert "unavailable" in caplog.text
    assert url.split("/")[3] not in caplog.text


@pytest.mark.parametrize("tail", ["", "google/", "card.pkpass"])
@pytest.mark.parametrize("method", ["get", "head"])
def test_strange_links_are_all_answered_alike(
    browser: Client, card: LoyaltyCard, tail: str, method: str
) -> None:
    """A forged link and one of a card that is gone: nobody learns which cards exist."""
    forged = getattr(browser, method)(f"/wallet/cards/{sign_link('4711')[:-4]}AAAA/{tail}")
    unknown = getattr(browser, method)(f"/wallet/cards/{sign_link('no such card')}/{tail}")
    assert forged.status_code == unknown.status_code == 404
    assert text_of(forged) == text_of(unknown)
    assert is_closed(forged)
    assert is_closed(unknown)


@pytest.mark.parametrize("tail", ["", "google/", "card.pkpass"])
def test_expired_links_and_inactive_cards_are_gone(
    browser: Client, card: LoyaltyCard, tail: str
) -> None:
    """410, with words for the customer and no word of the card."""
    url = f"{card.get_card_url()}{tail}"
    with time_machine.travel(timezone.now() + timedelta(days=31)):
        expired = browser.get(url)
    LoyaltyCard.objects.update(is_active=False)
    inactive = browser.get(url)
    for response in (expired, inactive):
        assert response.status_code == 410
        assert is_closed(response)
        assert "Coffee Club" not in text_of(response)
    assert "expired" in text_of(expired)


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_nothing_is_posted(browser: Client, card: LoyaltyCard, method: str) -> None:
    """There is nothing to send here."""
    assert getattr(browser, method)(card.get_card_url()).status_code == 405
