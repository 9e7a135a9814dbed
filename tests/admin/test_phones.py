"""What iPhones have complained of, as the admin shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from loyalty_wallet.admin.phones import _REMEDIES
from loyalty_wallet.models import AppleDeviceComplaint, LoyaltyCard, WalletPass
from loyalty_wallet.webservice import complaints
from tests.phonefront import PASS_TYPE, apns, authority, configure_apple, iphone_pass, register

from .pages import list_url, page_url, text_of

__all__ = ["apns", "authority", "configure_apple"]

MODEL = "appledevicecomplaint"
Kind = AppleDeviceComplaint.Kind


@pytest.fixture
def sold(
    configure_apple: Callable[..., None], right_cards: Callable[[int], list[LoyaltyCard]]
) -> WalletPass:
    """A card on a phone."""
    (card,) = right_cards(1)
    register(card, push_token="feed" * 16)
    return iphone_pass(card)


def complain(wallet_pass: WalletPass, problem: str) -> AppleDeviceComplaint:
    complaints.record(
        [
            f"Get pass task (pass type {PASS_TYPE}, serial number {wallet_pass.remote_id}) "
            f"encountered error: {problem}"
        ]
    )
    return AppleDeviceComplaint.objects.latest("pk")


def test_a_complaint_says_what_it_means_and_what_to_do(boss: Client, sold: WalletPass) -> None:
    """Kind, pass, how often, the phone's own words, and where to look."""
    row = complain(sold, "Authentication failure")
    complain(sold, "Authentication failure")
    for url in (list_url(MODEL), page_url(MODEL, row.pk)):
        shown = text_of(boss.get(url))
        assert "refused by our web service" in shown
        assert str(sold) in shown
        assert "Authentication failure" in shown
        assert " 2 " in shown
    assert PASS_TYPE in shown
    assert "Get pass task" in shown
    assert "lets the Authorization header through" in shown
    assert page_url("walletpass", sold.pk) in boss.get(list_url(MODEL)).content.decode()


@pytest.mark.django_db
def test_a_complaint_about_no_known_pass(boss: Client) -> None:
    """It is shown all the same."""
    complaints.record(["the cat sat on the mat"])
    row = AppleDeviceComplaint.objects.get()
    assert "the cat sat on the mat" in text_of(boss.get(list_url(MODEL)))
    assert boss.get(page_url(MODEL, row.pk)).status_code == 200


def test_every_kind_has_a_remedy() -> None:
    """Nobody is left alone with a word."""
    assert set(_REMEDIES) == set(Kind.values)


def test_a_kind_that_is_gone_breaks_no_page(boss: Client, sold: WalletPass) -> None:
    """A row of an older version of the app."""
    now = timezone.now()
    row = AppleDeviceComplaint.objects.create(
        kind="forgotten", wallet_pass=sold, count=1, first_at=now, last_at=now
    )
    assert "forgotten" in text_of(boss.get(list_url(MODEL)))
    assert boss.get(page_url(MODEL, row.pk)).status_code == 200


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"kind__exact": "spurious_push"}, 1),
        ({"kind__exact": "malformed"}, 0),
        ({"q": "mat"}, 1),
        ({"q": "nobody"}, 0),
    ],
)
def test_filter_and_search(
    boss: Client, sold: WalletPass, query: dict[str, str], count: int
) -> None:
    """By kind, by card and by what the phone said."""
    complain(sold, "spurious push")
    complaints.record(["the cat sat on the mat"])
    assert len(boss.get(list_url(MODEL), query).context["cl"].result_list) == count


def test_is_read_only(boss: Client, sold: WalletPass) -> None:
    """What phones have said nobody edits."""
    row = complain(sold, "spurious push")
    assert boss.get(reverse(f"admin:loyalty_wallet_{MODEL}_add")).status_code == 403
    assert boss.post(page_url(MODEL, row.pk), {"kind": "other"}).status_code == 403
    delete = reverse(f"admin:loyalty_wallet_{MODEL}_delete", args=[row.pk])
    assert boss.post(delete, {"post": "yes"}).status_code == 403
    assert AppleDeviceComplaint.objects.get() == row


def test_no_page_shows_a_secret_of_the_phones(boss: Client, sold: WalletPass) -> None:
    """Case 60: neither the pass's token nor the device's, wherever they come from."""
    row = complain(sold, f"sent Authorization: ApplePass {sold.authentication_token}")
    complain(sold, f"malformed push token {'feed' * 16}")
    pages: list[Any] = [
        boss.get(list_url(MODEL)),
        boss.get(page_url(MODEL, row.pk)),
        boss.get(page_url("walletpass", sold.pk)),
        boss.get(list_url("walletpass")),
    ]
    for page in pages:
        assert page.status_code == 200
        assert sold.authentication_token not in page.content.decode()
        assert "feedfeed" not in page.content.decode()
