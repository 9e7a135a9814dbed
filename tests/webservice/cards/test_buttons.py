"""The button that leads to Google, and buttons for pages of one's own."""

from __future__ import annotations

from typing import Any

import pytest
from django.template import Context, Template
from django.test import Client, RequestFactory

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard
from loyalty_wallet.webservice import cards as views
from tests.adding.links import object_in
from tests.shop.models import Member
from tests.shopfront import Configure

from .browsing import IPHONE, google_url, is_closed, text_of

pytestmark = pytest.mark.django_db


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


def test_one_card_is_not_asked_for_without_end(browser: Client, card: LoyaltyCard) -> None:
    """Each press may cost requests to Google: a script that presses is slowed down."""
    url = google_url(card)
    answers = [browser.get(url).status_code for _ in range(views.PER_MINUTE + 1)]
    assert answers == [302] * views.PER_MINUTE + [429]


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
