"""The customer's page: what it shows of the card, and what it leaves out."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from loyalty_wallet.adding import pass_url
from loyalty_wallet.cards import Barcode, BarcodeFormat
from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram, WalletPass
from loyalty_wallet.webservice import codes
from tests.shopfront import Configure

from .browsing import ANDROID, DESKTOP, IPHONE, google_url, is_closed, text_of

pytestmark = pytest.mark.django_db


def test_page_shows_the_card_as_both_wallets_do(browser: Client, card: LoyaltyCard) -> None:
    """Balances, tier, holder and number, escaped; each wallet writes numbers in its own way."""
    response = browser.get(card.get_card_url())
    page = text_of(response)
    assert response.status_code == 200
    assert is_closed(response)
    for shown in ("12,450", "12450", "7 / 10", "7/10", "Gold", "Ada &lt;Adler&gt;", "4711"):
        assert f">{shown}<" in page
    assert 'fill="#0b3d2e"' in page
    assert 'aria-label="Code to scan: 4711"' in page


def test_page_makes_nothing(browser: Client, card: LoyaltyCard, google: GoogleEmulator) -> None:
    """Whoever looks at the page, robots included, leaves no object that can never be deleted."""
    for agent in (DESKTOP, IPHONE, ANDROID, "Googlebot/2.1"):
        browser.get(card.get_card_url(), headers={"user-agent": agent})
    browser.head(card.get_card_url())
    assert not WalletPass.objects.exists()
    assert google.requests == []


def test_page_has_no_script_and_no_inline_style(browser: Client, card: LoyaltyCard) -> None:
    """The strictest content security policy takes it, without nonces."""
    page = text_of(browser.get(card.get_card_url()))
    assert "<script" not in page
    assert "<style" not in page
    assert "style=" not in page
    assert "http://www.w3.org/2000/svg" in page
    assert page.count("http") == page.count("http://www.w3.org/2000/svg")


@pytest.mark.parametrize(
    ("agent", "first", "has_page_code"),
    [(IPHONE, "apple", False), (ANDROID, "google", False), (DESKTOP, "google", True)],
)
def test_wallet_of_the_phone_at_hand_comes_first(
    browser: Client, card: LoyaltyCard, agent: str, first: str, has_page_code: bool
) -> None:
    """A desktop, which has no wallet, shows the way to a phone as well."""
    response = browser.get(card.get_card_url(), headers={"user-agent": agent})
    assert next(button.kind for button, _ in response.context["offers"]) == first
    assert len(response.context["offers"]) == 2
    assert ("QR code of this page" in text_of(response)) is has_page_code


def test_page_speaks_the_phones_language(browser: Client, card: LoyaltyCard) -> None:
    """As an iPhone in German would show the card."""
    page = text_of(browser.get(card.get_card_url(), headers={"accept-language": "de"}))
    assert '<html lang="de">' in page
    assert ">Stempel<" in page
    assert ">12.450<" in page


@pytest.mark.parametrize("address", ["google_wallet", "apple_wallet"])
def test_wallet_that_the_program_does_not_name_is_not_offered(
    browser: Client, card: LoyaltyCard, address: str
) -> None:
    """One button is left, and the other one's address is a friendly 404."""
    LoyaltyProgram.objects.update(**{address: ""})
    page = text_of(browser.get(card.get_card_url()))
    assert ("Add to Google Wallet" in page) is (address == "apple_wallet")
    assert ("Add to Apple Wallet" in page) is (address == "google_wallet")
    url = google_url(card) if address == "google_wallet" else pass_url(card)
    assert browser.get(url).status_code == browser.head(pass_url(card) + "x").status_code == 404


def test_card_source_that_fails_is_a_page(
    browser: Client,
    card: LoyaltyCard,
    configure: Configure,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The shop's own mistake is in the log, not on the customer's phone."""
    LoyaltyCard.objects.update(tier="boom")
    configure(CARD_SOURCE="tests.sync.sources.ExplodingSource")
    with caplog.at_level(logging.ERROR):
        response = browser.get(card.get_card_url())
    assert response.status_code == 503
    assert "Traceback" in caplog.text
    assert "Traceback" not in text_of(response)


def test_what_no_wallet_could_show_is_not_offered(browser: Client, card: LoyaltyCard) -> None:
    """A balance that Google cannot hold is left to Apple, which can."""
    LoyaltyCard.objects.update(points_balance=2**40)
    page = text_of(browser.get(card.get_card_url()))
    assert "Add to Apple Wallet" in page
    assert "Add to Google Wallet" not in page


def test_logo_is_the_programs_own_and_only_from_https(browser: Client, card: LoyaltyCard) -> None:
    """Without one its initial stands there; the address of the page is told to nobody."""
    assert "<img" not in text_of(browser.get(card.get_card_url()))
    LoyaltyProgram.objects.update(logo_url="https://shop.example/logo.png")
    page = text_of(browser.get(card.get_card_url()))
    assert 'src="https://shop.example/logo.png" alt="Logo of Corner Café"' in page
    assert 'referrerpolicy="no-referrer"' in page
    LoyaltyProgram.objects.update(logo_url="http://shop.example/logo.png")
    assert "shop.example" not in text_of(browser.get(card.get_card_url()))


@pytest.mark.parametrize(
    ("color", "text"), [("#0b3d2e", "light-text"), ("#ffd54a", "dark-text"), ("#fff", "dark-text")]
)
def test_text_is_legible_on_the_programs_colour(
    browser: Client, card: LoyaltyCard, color: str, text: str
) -> None:
    """Black or white, as the phones choose; no checker of pages can see behind the drawing."""
    LoyaltyProgram.objects.update(background_color=color)
    page = text_of(browser.get(card.get_card_url()))
    other = {"light-text": "dark-text", "dark-text": "light-text"}[text]
    assert page.count(text) == 2
    assert other not in page


def test_code_that_cannot_be_drawn_here_is_written_out(
    browser: Client, card: LoyaltyCard, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without zxing-cpp only the wallets draw the other formats; a clerk can still type it."""
    configure(CARD_SOURCE="tests.webservice.sources.Code128Source")
    monkeypatch.setattr(codes, "zxingcpp", None)
    page = text_of(browser.get(card.get_card_url()))
    assert "Code to scan: " not in page
    assert "<p>4711</p>" in page


@pytest.mark.parametrize("format", BarcodeFormat)
def test_code_that_holds_too_much_is_written_out(format: BarcodeFormat) -> None:
    """The page is not the place to fail for it."""
    drawn = codes.card_code(Barcode(value="x" * 9000, format=format))
    assert drawn.drawing == ""
    assert codes.card_code(Barcode(value="4711", format=format)).drawing.startswith("<svg")


def test_templates_can_be_replaced(
    browser: Client, card: LoyaltyCard, settings: Settings, tmp_path: Any
) -> None:
    """A shop puts in what it has to say, and the official badges, without copying the page."""
    folder = tmp_path / "loyalty_wallet"
    (folder / "includes").mkdir(parents=True)
    (folder / "card_page.html").write_text(
        '{% extends "loyalty_wallet/card_page.html" %}{% block intro %}<h1>Welcome</h1>{% endblock %}'
    )
    (folder / "includes" / "google_button.html").write_text('<a href="{{ url }}">BADGE</a>')
    templates = [{**settings.TEMPLATES[0], "DIRS": [str(tmp_path)]}]
    settings.TEMPLATES = templates
    page = text_of(browser.get(card.get_card_url()))
    assert "<h1>Welcome</h1>" in page
    assert "BADGE" in page
    assert "Add to Apple Wallet" in page
