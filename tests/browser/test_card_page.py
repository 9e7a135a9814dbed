"""The card page as customers meet it: on a desktop, on an iPhone, on an Android phone."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.cache import cache
from playwright.sync_api import Route
from pytest_django import Settings

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.emulator.apple import Authority, Phone
from loyalty_wallet.models import AppleRegistration, LoyaltyCard, LoyaltyProgram, WalletPass
from tests.shopfront import Configure, pass_of

from .chromium import Size, System, Window
from .conftest import OpenPage
from .expecting import expect

GOOGLES_PAGE = "https://pay.google.com/gp/v/save/**"
LOGO = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><circle cx="4" cy="4" r="4"/></svg>'
)
NARROWEST = 320
"""CSS pixels: where WCAG 1.4.10 still wants a page without scrolling sideways."""


@pytest.fixture(autouse=True)
def _no_limits_from_other_tests() -> None:
    cache.clear()


@pytest.fixture
def card(
    live_site: str,
    configure: Configure,
    program: LoyaltyProgram,
    configure_apple: Callable[..., None],
) -> LoyaltyCard:
    """A card that no phone has yet."""
    configure(callback_url=f"{live_site}/wallet/google/callback/")
    configure_apple(web_service_url=f"{live_site}/wallet/apple")
    program.kind = LoyaltyProgram.Kind.HYBRID
    program.background_color = "#0b3d2e"
    program.auto_issue = False
    program.save()
    return LoyaltyCard.objects.create(
        program=program,
        card_number="4711-0815",
        holder_name="Ada Adler",
        points_balance=12450,
        stamps=7,
        tier="Gold",
    )


def receive_at_google(window: Window) -> list[str]:
    """Stand in for Google's own page, which is not on this machine; return who arrives there."""
    arrived: list[str] = []

    def receive(route: Route) -> None:
        arrived.append(route.request.url)
        assert "referer" not in route.request.headers
        route.fulfill(status=200, content_type="text/html", body="<title>Save</title>Google")

    window.page.route(GOOGLES_PAGE, receive)
    return arrived


@pytest.mark.parametrize(
    ("size", "system", "buttons"),
    [
        ("desktop", "linux", ["Add to Google Wallet", "Add to Apple Wallet"]),
        ("phone", "iphone", ["Add to Apple Wallet", "Add to Google Wallet"]),
        ("phone", "android", ["Add to Google Wallet", "Add to Apple Wallet"]),
    ],
)
def test_page_suits_whatever_it_is_read_on(
    page: OpenPage, card: LoyaltyCard, size: Size, system: System, buttons: list[str]
) -> None:
    """The right button first, by keyboard too; nothing sticks out; light and dark are legible."""
    window = page(card.get_card_url(), size=size, system=system)
    expect(window.page.get_by_role("heading", level=1)).to_have_text("Coffee Club")
    expect(window.page.get_by_role("img", name="QR code of this page")).to_have_count(
        1 if system == "linux" else 0
    )
    assert window.tab_stops() == buttons
    for scheme in ("light", "dark"):
        window.page.emulate_media(color_scheme=scheme)
        window.shoot(f"card-{size}-{system}-{scheme}")
        assert window.serious_violations() == []
        assert not window.scrolls_sideways()
        assert window.codes()[-2:] == ["4711-0815"] * 2


def test_code_of_the_page_leads_to_the_page(page: OpenPage, card: LoyaltyCard) -> None:
    """From the desktop's screen to the phone's."""
    window = page(card.get_card_url())
    assert window.codes()[0] == window.page.url


def test_other_codes_can_be_scanned_too(
    page: OpenPage, card: LoyaltyCard, settings: Settings
) -> None:
    """A till that reads no QR codes reads the page as it reads the phone."""
    window = page("about:blank", size="phone", system="iphone")
    for source in ("Code128Source", "Pdf417Source", "AztecSource"):
        path = f"tests.webservice.sources.{source}"
        settings.LOYALTY_WALLET = {**django_settings.LOYALTY_WALLET, "CARD_SOURCE": path}
        window.page.goto(card.get_card_url())
        window.shoot(f"card-{source}")
        assert window.codes() == ["4711-0815"] * 2


def test_page_fits_the_narrowest_screen_with_the_longest_words(
    page: OpenPage, card: LoyaltyCard
) -> None:
    """As on a large screen at 400 %; a name without spaces is broken rather than cut."""
    LoyaltyCard.objects.update(holder_name="Wolfeschlegelsteinhausenbergerdorff" * 2)
    LoyaltyProgram.objects.update(name="Kaffeeliebhaberinnenvereinigung Obergurgl")
    window = page(card.get_card_url(), size="phone", system="android", locale="de")
    window.page.set_viewport_size({"width": NARROWEST, "height": 640})
    window.shoot("card-narrowest")
    assert not window.scrolls_sideways()


def test_page_shows_the_shops_logo_under_a_strict_policy(
    page: OpenPage, card: LoyaltyCard, live_site: str
) -> None:
    """It is the one thing from elsewhere; its host is not told which card is looked at."""
    LoyaltyProgram.objects.update(
        logo_url="https://shop.example/logo.svg", background_color="#ffd54a"
    )
    window = page("about:blank", size="phone", system="iphone")
    referrers: list[str | None] = []

    def send_logo(route: Route) -> None:
        referrers.append(route.request.headers.get("referer"))
        route.fulfill(status=200, content_type="image/svg+xml", body=LOGO)

    window.page.route("https://shop.example/**", send_logo)
    window.page.goto(card.get_card_url())
    logos = window.page.get_by_role("img", name="Logo of Corner Café")
    expect(logos).to_have_count(2)
    assert logos.first.evaluate("image => image.naturalWidth > 0")
    assert set(referrers) == {None}
    window.shoot("card-logo")
    assert window.serious_violations() == []


def test_customer_saves_the_card_to_google(
    page: OpenPage, card: LoyaltyCard, google: GoogleEmulator
) -> None:
    """One press: the object is made, Google takes the link, and tells us where the card is."""
    window = page(card.get_card_url(), size="phone", system="android")
    arrived = receive_at_google(window)
    assert google.objects == {}
    window.page.get_by_role("link", name="Add to Google Wallet").click()
    expect(window.page).to_have_title("Save")
    [link] = arrived
    assert google.customer_saves(link) == [card.google_object_id]
    assert google.objects[card.google_object_id]["loyaltyPoints"]["balance"]["int"] == 12450
    assert pass_of(card).presence == WalletPass.Presence.IN_WALLET
    google.customer_removes(card.google_object_id)
    assert pass_of(card).presence == WalletPass.Presence.REMOVED


def test_customer_adds_the_card_to_an_iphone(
    page: OpenPage, card: LoyaltyCard, authority: Authority
) -> None:
    """By keyboard: what the browser hands to Wallet is a pass that verifies and registers."""
    window = page(card.get_card_url(), size="phone", system="iphone")
    with window.page.expect_download() as downloading:
        window.page.keyboard.press("Tab")
        window.page.keyboard.press("Enter")
    download = downloading.value
    assert download.suggested_filename == "card.pkpass"
    phone = Phone(authority)
    try:
        phone.add(Path(download.path()).read_bytes())
        assert phone.passes[card.apple_serial_number].balance == 12450
    finally:
        phone.close()
    assert AppleRegistration.objects.filter(wallet_pass__card_key=card.key).exists()


def test_customer_tries_again_after_an_outage_of_google(
    page: OpenPage, card: LoyaltyCard, google: GoogleEmulator
) -> None:
    """An outage is a page with a way on, and the way on works when it is over."""
    window = page(card.get_card_url(), size="phone", system="android")
    arrived = receive_at_google(window)
    google.fail(status=503)
    window.page.get_by_role("link", name="Add to Google Wallet").click()
    expect(window.page.get_by_role("heading", level=1)).to_have_text("Not just now")
    window.shoot("card-outage")
    assert window.serious_violations() == []
    google.heal()
    window.page.get_by_role("link", name="Try again").click()
    expect(window.page).to_have_title("Save")
    assert google.customer_saves(arrived[0]) == [card.google_object_id]


def test_link_that_does_not_work_says_so_in_words(page: OpenPage, card: LoyaltyCard) -> None:
    """A link that was cut on its way leads to a page, not into nowhere."""
    window = page(re.sub(r".{9}/$", "/", card.get_card_url()), size="phone", scheme="dark")
    expect(window.page.get_by_role("heading", level=1)).to_have_text("This link does not work")
    window.shoot("card-unknown")
    assert window.serious_violations() == []


def test_card_is_legible_in_high_contrast(page: OpenPage, card: LoyaltyCard) -> None:
    """The system's own colours must not meet the program's."""
    window = page(card.get_card_url(), size="phone", forced_colors="active")
    window.shoot("card-high-contrast")
    expect(window.page.get_by_text("Ada Adler").first).to_have_css("color", "rgb(255, 255, 255)")


def test_page_needs_no_script(page: OpenPage, card: LoyaltyCard) -> None:
    """With JavaScript off everything is there; the focus is plain to see."""
    window = page(card.get_card_url(), java_script_enabled=False, size="phone")
    button = window.page.get_by_role("link", name="Add to Google Wallet")
    expect(button).to_be_visible()
    window.page.keyboard.press("Tab")
    expect(button).to_be_focused()
    expect(button).to_have_css("outline-style", "solid")
