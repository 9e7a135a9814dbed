"""The download for iPhones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from loyalty_wallet.adding import pass_url
from loyalty_wallet.emulator.apple import Authority, PassOnPhone
from loyalty_wallet.emulator.apple.signatures import open_pass
from loyalty_wallet.models import LoyaltyCard, WalletPass

from .browsing import is_closed, text_of

pytestmark = pytest.mark.django_db


def test_download_is_a_signed_pass_that_a_phone_takes(
    browser: Client, card: LoyaltyCard, authority: Authority
) -> None:
    """Made and signed when it is asked for, with the type that Safari hands to Wallet."""
    response = browser.get(pass_url(card))
    assert response.status_code == 200
    assert response["Content-Type"] == "application/vnd.apple.pkpass"
    assert response["Content-Disposition"] == 'attachment; filename="card.pkpass"'
    assert is_closed(response)
    content = open_pass(response.content, authority.root.certificate)
    assert content["serialNumber"] == card.apple_serial_number
    assert PassOnPhone(content, response.content).balance == 12450


def test_head_tells_the_type_and_makes_nothing(browser: Client, card: LoyaltyCard) -> None:
    """Whoever asks about the file does not get it."""
    response = browser.head(pass_url(card))
    assert (response.status_code, response.content) == (200, b"")
    assert response["Content-Type"] == "application/vnd.apple.pkpass"
    assert not WalletPass.objects.exists()


def test_certificate_that_cannot_sign_is_a_page(
    browser: Client, card: LoyaltyCard, configure_apple: Callable[..., None]
) -> None:
    """The customer is asked to come again, and learns nothing of certificates."""
    configure_apple(certificate="nowhere.pem")
    response = browser.get(pass_url(card))
    assert response.status_code == 503
    assert "nowhere" not in text_of(response)
