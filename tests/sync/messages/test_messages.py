"""Messages to customers: each at most once, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.exceptions import SyncInTransactionError
from loyalty_wallet.models import LoyaltyCard, WalletMessage
from loyalty_wallet.sync import erase_card, send_message, sync_wallet_passes
from tests.shopfront import Configure, pass_of

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db

TEXT = ("Double points", "This weekend only.")


def messages_at(google: GoogleEmulator, card: LoyaltyCard) -> list[str]:
    """Return the bodies of the messages that the card's object has."""
    messages = google.objects[pass_of(card).remote_id].get("messages") or []
    return [message["body"] for message in messages]


def test_each_card_gets_it_once(google: GoogleEmulator, right_cards: MakeCards) -> None:
    """A second call with more cards sends to the new ones alone, and nobody is notified."""
    cards = right_cards(3)
    keys = [card.key for card in cards]

    first = send_message(keys[:2], *TEXT)
    second = send_message(keys, *TEXT)

    assert (first.sent, first.already) == (2, 0)
    assert (second.sent, second.already) == (1, 2)
    assert [messages_at(google, card) for card in cards] == [[TEXT[1]]] * 3
    kinds = {entry.body["message"]["messageType"] for entry in google.object_requests}
    assert kinds == {"TEXT"}


def test_the_same_text_goes_out_again_under_another_reference(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """Next month's double points are another message."""
    (card,) = right_cards(1)
    for month in ("June", "July", "July"):
        send_message([card.key], *TEXT, reference=month)

    assert messages_at(google, card) == [TEXT[1]] * 2


@pytest.mark.parametrize("action", ["close_after", "close_before"])
def test_a_lost_answer_is_looked_into_before_it_is_sent_again(
    google: GoogleEmulator, right_cards: MakeCards, action: str
) -> None:
    """Whether the message landed or not: in the end it is there once."""
    (card,) = right_cards(1)
    google.misbehave(action, method="POST", endpoint="object", times=1)  # type: ignore[arg-type]

    report = send_message([card.key], *TEXT)

    assert report.failures == ()
    assert report.sent + report.already == 1
    assert messages_at(google, card) == [TEXT[1]]
    assert "GET" in [entry.method for entry in google.object_requests]


def test_what_a_dead_process_began_is_looked_into(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """It wrote down what it was about to send; whether it did, Google knows."""
    (card,) = right_cards(1)
    send_message([card.key], *TEXT)
    long_ago = timezone.now() - timedelta(hours=1)
    WalletMessage.objects.update(state=WalletMessage.State.TRYING, tried_at=timezone.now())
    assert send_message([card.key], *TEXT).already == 1
    WalletMessage.objects.update(tried_at=long_ago)

    report = send_message([card.key], *TEXT)

    assert (report.sent, report.already) == (0, 1)
    assert messages_at(google, card) == [TEXT[1]]
    assert WalletMessage.objects.get().state == WalletMessage.State.SENT


def test_a_refusal_is_reported_and_may_be_sent_anew(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """Refused for certain, the message is not there: the next call sends it without a look."""
    good, bad = right_cards(2)
    google.fail(object_id=bad.google_object_id, status=400, message="No.", times=1)

    report = send_message([good.key, bad.key], *TEXT)

    assert report.sent == 1
    assert [(failure.card_id, failure.code) for failure in report.failures] == [
        (bad.key, "rejected")
    ]
    assert send_message([good.key, bad.key], *TEXT).sent == 1
    assert messages_at(google, bad) == [TEXT[1]]


def test_notifications_keep_to_their_own_cap(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """Three loud messages in a day; the fourth lands silently and is counted."""
    (card,) = right_cards(1)
    reports = [send_message([card.key], "News", f"No. {n}", notify=True) for n in range(4)]

    assert [report.muted for report in reports] == [0, 0, 0, 1]
    assert [report.sent for report in reports] == [1, 1, 1, 1]
    kinds = [entry.body["message"]["messageType"] for entry in google.object_requests]
    assert kinds == ["TEXT_AND_NOTIFY"] * 3 + ["TEXT"]


def test_a_notification_that_google_refuses_lands_as_text(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """The cap is spent by somebody else: the message comes all the same."""
    (card,) = right_cards(1)
    google.fail(status=403, reason="quotaExceeded", domain="walletobjects", times=1)

    report = send_message([card.key], *TEXT, notify=True)

    assert (report.sent, report.muted) == (1, 1)
    assert messages_at(google, card) == [TEXT[1]]


def test_the_eleventh_message_is_refused_here(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """Google takes ten of one object: no request is spent on more."""
    (card,) = right_cards(1)
    for number in range(10):
        assert send_message([card.key], "News", f"No. {number}").sent == 1
    google._service.log.clear()

    report = send_message([card.key], *TEXT)

    assert report.failures[0].code == "rejected"
    assert "10 messages" in report.failures[0].message
    assert google.object_requests == []


def test_erased_cards_get_none_and_lose_theirs(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """What a shop wrote to its customer goes with the card."""
    (card,) = right_cards(1)
    send_message([card.key], *TEXT)
    erase_card(card.key)
    sync_wallet_passes()

    assert send_message([card.key], *TEXT, reference="again").sent == 0
    assert messages_at(google, card) == []
    assert not WalletMessage.objects.exists()


@pytest.mark.usefixtures("configure")
@pytest.mark.parametrize("text", [("", "body"), ("header", " ")])
def test_a_message_needs_a_text(text: tuple[str, str]) -> None:
    """Neither half may be empty."""
    with pytest.raises(ValueError, match="needs a header and a body"):
        send_message(["1"], *text)


@pytest.mark.django_db(transaction=True)
def test_no_message_leaves_a_transaction(configure: Configure) -> None:
    """What may be rolled back must not be sent."""
    with transaction.atomic(), pytest.raises(SyncInTransactionError):
        send_message(["1"], *TEXT)
