"""The customer's page, the way to Google, and the download: what they answer, and to whom."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.template import Context, Template
from django.test import Client, RequestFactory
from django.utils import timezone
from pytest_django import Settings

from loyalty_wallet.adding import pass_url, sign_link
from loyalty_wallet.cards import Barcode, BarcodeFormat
from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.emulator.apple import Authority, PassOnPhone
from loyalty_wallet.emulator.apple.signatures import open_pass
from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram, WalletPass
from loyalty_wallet.webservice import cards as views
from loyalty_wallet.webservice import codes
from tests.adding.links import object_in
from tests.shop.models import Member
from tests.shopfront import Configure

pytestmark = pytest.mark.django_db

IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15"
ANDROID = "Mozilla/5.0 (Linux; Android 16; Pixel 10) AppleWebKit/537.36 Chrome/142.0.0.0"
DESKTOP = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/142.0.0.0"


@pytest.fixture(autouse=True)
def _with_both_wallets(configure_apple: Callable[..., None]) -> None:
    """Google's wallet, and Apple's beside it."""


@pytest.fixture
def card(program: LoyaltyProgram) -> LoyaltyCard:
    """A card that no wallet has yet."""
    program.auto_issue = False
    program.kind = LoyaltyProgram.Kind.HYBRID
    program.background_color = "#0b3d2e"
    program.save()
    return LoyaltyCard.objects.create(
        program=program,
        card_number="4711",
        holder_name="Ada <Adler>",
        points_balance=12450,
        stamps=7,
        tier="Gold",
    )


@pytest.fixture
def browser() -> Client:
    return Client(headers={"user-agent": DESKTOP})


def google_url(card: LoyaltyCard) -> str:
    return f"{card.get_card_url()}google/"


def text_of(response: Any) -> str:
    return str(response.content.decode())


def is_closed(response: Any) -> bool:
    """Say whether nothing of the answer is kept, passed on or connected with a visitor."""
    return bool(
        response["Cache-Control"] == "no-store"
        and response["Referrer-Policy"] == "no-referrer"
        and "noindex" in response["X-Robots-Tag"]
        and not response.cookies
        and "Cookie" not in response.get("Vary", "")
    )


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


def test_button_inserts_the_card_and_goes_on_to_google(
    browser: Client, card: LoyaltyCard, google: GoogleEmulator
) -> None:
    """Only now is there an object, and the link names it."""
    response = browser.get(google_url(card))
    assert response.status_code == 302
    assert is_closed(response)
    assert object_in(response["Location"])["id"] == card.google_object_id
    assert card.google_object_id in google.objects


@pytest.mark.parametrize(
    "headers",
    [
        {"user-agent": "Googlebot/2.1 (+http://www.google.com/bot.html)"},
        {"user-agent": "facebookexternalhit/1.1"},
        {"user-agent": "WhatsApp/2.24.1 A"},
        {"user-agent": "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"},
    ],
)
def test_robots_are_sent_to_the_page(
    browser: Client, card: LoyaltyCard, google: GoogleEmulator, headers: dict[str, str]
) -> None:
    """A link in a message is previewed by programs: they see the card, and insert nothing."""
    response = browser.get(google_url(card), headers=headers)
    assert (response.status_code, google.requests) == (302, [])
    assert browser.get(response["Location"]).status_code == 200


@pytest.mark.parametrize("name", ["Sec-Purpose", "Purpose", "X-Moz"])
def test_browsers_that_fetch_ahead_insert_nothing(
    browser: Client, card: LoyaltyCard, google: GoogleEmulator, name: str
) -> None:
    """They forget the refusal and ask again when the customer does."""
    response = browser.get(google_url(card), headers={name: "prefetch"})
    assert (response.status_code, google.requests) == (503, [])
    assert browser.get(google_url(card)).status_code == 302


@pytest.mark.parametrize("status", [503, 400])
def test_google_in_trouble_is_a_page_and_not_a_traceback(
    browser: Client, card: LoyaltyCard, google: GoogleEmulator, status: int
) -> None:
    """Try again in a minute; the shop finds the reason in its log and in its admin."""
    google.fail(status=status)
    response = browser.get(google_url(card))
    assert (response.status_code, response["Retry-After"]) == (503, "60")
    assert is_closed(response)
    assert "try again in a minute" in text_of(response)
    assert "4711" not in text_of(response)
    google.heal()
    assert browser.get(google_url(card)).status_code == 302


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


def test_one_card_is_not_asked_for_without_end(browser: Client, card: LoyaltyCard) -> None:
    """Each press may cost requests to Google: a script that presses is slowed down."""
    url = google_url(card)
    answers = [browser.get(url).status_code for _ in range(views.PER_MINUTE + 1)]
    assert answers == [302] * views.PER_MINUTE + [429]


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


def render_tag(source: str, **context: Any) -> str:
    return Template("{% load loyalty_wallet %}" + source).render(Context(context))


def test_buttons_for_pages_of_ones_own(card: LoyaltyCard) -> None:
    """A row or a key gets both buttons; on an iPhone Apple's is the first."""
    request = RequestFactory().get("/", headers={"user-agent": IPHONE})
    on_iphone = render_tag("{% wallet_buttons card %}", card=card, request=request)
    assert on_iphone.index("Add to Apple Wallet") < on_iphone.index("Add to Google Wallet")
    elsewhere = render_tag("{% wallet_buttons card %}", card=card.key)
    assert elsewhere.index("Add to Google Wallet") < elsewhere.index("Add to Apple Wallet")
    assert 'href="/wallet/cards/' in elsewhere


def test_buttons_in_an_email_lead_to_the_site(card: LoyaltyCard) -> None:
    """An e-mail has no address that a path could belong to."""
    mail = render_tag("{% wallet_buttons card 'https://shop.example/' %}", card=card)
    assert mail.count('href="https://shop.example/wallet/cards/') == 2


def test_buttons_for_cards_of_another_table(configure: Configure) -> None:
    """Any source's row will do; one that is in no wallet gets nothing at all."""
    configure(CARD_SOURCE="tests.shop.sources.MemberSource")
    member = Member.objects.create(membership_no="M-1", full_name="Ada Adler")
    assert "Add to Google Wallet" in render_tag("{% wallet_buttons member %}", member=member)
    assert render_tag("{% wallet_buttons member %}", member="nobody").strip() == ""


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
