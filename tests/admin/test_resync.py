"""The re-sync action without a broker: asked, confirmed, sent and told."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram, SyncFailure, SyncRun, WalletPass
from loyalty_wallet.sync import sync_wallet_passes
from tests.shopfront import Configure, balance_at, pass_of

from .pages import (
    ask,
    confirm,
    list_url,
    messages_of,
    page_url,
    resync,
    sync_buttons,
    sync_url,
    text_of,
)

MakeCards = Callable[[int], list[LoyaltyCard]]


def test_question_says_what_will_happen(
    boss: Client, right_cards: MakeCards, configure: Configure
) -> None:
    """The question names count, passes, requests, notification and way, and sends nothing."""
    configure(requests_per_second=20)
    cards = right_cards(3)
    LoyaltyCard.objects.filter(pk=cards[0].pk).update(points_balance=5)
    page = text_of(ask(boss, list_url("loyaltycard"), [card.pk for card in cards]))
    assert "Re-sync 3 cards?" in page
    # Passes, unchanged ones, requests and their time; the same when all are sent.
    assert "google 3 2 1 0.1 s at 20 a second 3 requests, 0.1 s" in page
    assert "Customers are notified no, unless you say so below" in page
    assert "They are sent now" in page
    assert all(card.card_number in page for card in cards)
    assert SyncRun.objects.count() == 1
    assert not WalletPass.objects.due().exists()


def test_question_names_twenty_cards_and_counts_the_rest(
    boss: Client, make_cards: MakeCards
) -> None:
    """A long selection is named in part."""
    cards = make_cards(23)
    page = text_of(ask(boss, list_url("loyaltycard"), [card.pk for card in cards]))
    assert "and 3 more" in page
    assert sum(card.card_number in page for card in cards) == 20


@pytest.mark.parametrize("model", ["loyaltycard", "walletpass", "syncfailure"])
def test_resync_from_each_list(
    boss: Client, right_cards: MakeCards, google: GoogleEmulator, model: str
) -> None:
    """Cards, passes and failures all lead to the same cards being sent at once."""
    (card,) = right_cards(1)
    fault = google.fail(status=400)
    card.record("earn", points=7)
    sync_wallet_passes()
    google.heal(fault)
    pk = {
        "loyaltycard": card.pk,
        "walletpass": pass_of(card).pk,
        "syncfailure": SyncFailure.objects.get().pk,
    }[model]
    message = resync(boss, model, [pk])
    assert message.startswith("1 card is up to date. <a href=")
    assert balance_at(google, card) == 7
    run = SyncRun.objects.get(trigger=SyncRun.Trigger.ADMIN)
    assert page_url("syncrun", run.pk) in message
    assert run.requested_by is not None
    assert run.requested_by.get_username() == "boss"
    assert SyncFailure.objects.get().resolved_by == run


def test_failures_of_one_card_are_one_card(
    boss: Client, right_cards: MakeCards, google: GoogleEmulator
) -> None:
    """A card that failed three times is selected once."""
    (card,) = right_cards(1)
    google.fail(status=400)
    card.record("earn", points=7)
    for _ in range(3):
        sync_wallet_passes()
    pks = list(SyncFailure.objects.values_list("pk", flat=True))
    assert len(pks) == 3
    question = ask(boss, list_url("syncfailure"), pks)
    assert "Re-sync 1 card?" in text_of(question)
    confirm(boss, list_url("syncfailure"), question)
    assert SyncRun.objects.get(trigger="admin").selection["cards"] == [card.key]


def test_unchanged_card_costs_no_request(
    boss: Client, right_cards: MakeCards, google: GoogleEmulator
) -> None:
    """Without force a card that is right already is compared, not sent."""
    (card,) = right_cards(1)
    assert resync(boss, "loyaltycard", [card.pk]).startswith("1 card is up to date.")
    assert google.object_requests == []


def test_forced_card_is_sent_though_unchanged(
    boss: Client, right_cards: MakeCards, google: GoogleEmulator
) -> None:
    """The checkbox has a card sent that seems to be right."""
    (card,) = right_cards(1)
    assert resync(boss, "loyaltycard", [card.pk], force=True).startswith("1 card is up to date.")
    assert [entry.method for entry in google.object_requests] == ["PATCH"]


def test_message_names_code_and_remedy_of_a_refused_card(
    boss: Client, right_cards: MakeCards, google: GoogleEmulator
) -> None:
    """One refused card of three is told with its code and what to do."""
    cards = right_cards(3)
    google.fail(status=400, object_id=cards[1].google_object_id)
    message = resync(boss, "loyaltycard", [card.pk for card in cards], force=True)
    assert message.startswith("2 cards are up to date. 1 card failed. rejected: Correct the card")


def test_retryable_failure_is_tried_once(
    boss: Client, right_cards: MakeCards, google: GoogleEmulator, configure: Configure
) -> None:
    """A request makes one attempt per pass and never sleeps through the retry ladder."""
    configure(RETRY_DELAYS=[30, 30, 30])
    (card,) = right_cards(1)
    google.fail(status=503)
    started = time.monotonic()
    message = resync(boss, "loyaltycard", [card.pk], force=True)
    assert time.monotonic() - started < 10
    assert "1 card failed. unavailable: Wait" in message
    assert len(google.object_requests) == 1
    assert pass_of(card).is_due


def test_revoked_key_is_told_with_its_remedy(
    boss: Client, right_cards: MakeCards, google: GoogleEmulator
) -> None:
    """When Google refuses the key nothing is tried, the passes stay due, and the remedy is shown."""
    cards = right_cards(2)
    google.revoke_key()
    google.revoke_tokens()
    message = resync(boss, "loyaltycard", [card.pk for card in cards], force=True)
    assert message.startswith("0 cards are up to date.")
    assert "unauthorized: Create a new key for the service account" in message
    assert WalletPass.objects.due().count() == 2


def test_set_aside_pass_is_taken_up_again(
    boss: Client, right_cards: MakeCards, google: GoogleEmulator
) -> None:
    """A person who asks takes up a pass that was set aside."""
    (card,) = right_cards(1)
    card.record("earn", points=7)
    WalletPass.objects.update(state=WalletPass.State.SET_ASIDE)
    resync(boss, "walletpass", [pass_of(card).pk])
    assert balance_at(google, card) == 7


def test_card_without_pass_is_told(
    boss: Client, make_cards: MakeCards, program: LoyaltyProgram
) -> None:
    """A card that is in no wallet is no failure, and is not passed over in silence."""
    program.auto_issue = False
    program.save()
    (card,) = make_cards(1)
    question = ask(boss, list_url("loyaltycard"), [card.pk])
    assert "at most 1, where the program issues at once" in text_of(question)
    (message,) = messages_of(confirm(boss, list_url("loyaltycard"), question))
    assert "1 card has no pass to send" in message


def test_program_stands_for_its_cards(
    boss: Client, right_cards: MakeCards, google: GoogleEmulator, program: LoyaltyProgram
) -> None:
    """Re-syncing a program is re-syncing its cards, and no others."""
    cards = right_cards(2)
    other = LoyaltyProgram.objects.create(name="Tea", slug="tea", issuer_name="Corner Café")
    stranger = LoyaltyCard.objects.create(program=other, card_number="T1")
    sync_wallet_passes()
    google._service.log.clear()
    message = resync(boss, "loyaltyprogram", [program.pk], force=True)
    assert message.startswith("2 cards are up to date.")
    assert {entry.resource_id for entry in google.object_requests} == {
        card.google_object_id for card in cards
    }
    page = boss.get(page_url("loyaltyprogram", program.pk))
    assert [text for text, _, _ in sync_buttons(page)] == ["Re-sync its cards"]
    assert boss.post(sync_url("loyaltyprogram", program.pk)).status_code == 403
    assert not google.requests_for(stranger.google_object_id)


def test_customers_are_notified_only_where_somebody_says_so(
    boss: Client, right_cards: MakeCards, google: GoogleEmulator
) -> None:
    """The checkbox is the only way to a message on the customers' phones."""
    (card,) = right_cards(1)
    url = list_url("loyaltycard")
    for notify in (False, True):
        card.record("earn", points=1)
        confirm(boss, url, ask(boss, url, [card.pk]), notify=notify)
    silent, loud = google.object_requests
    assert "notifyPreference" not in silent.body
    assert loud.body["notifyPreference"] == "NOTIFY_ON_UPDATE"
    messages = LogEntry.objects.order_by("pk").values_list("change_message", flat=True)
    assert ["Customers notified." in message for message in messages] == [False, True]


def test_history_of_each_object(boss: Client, right_cards: MakeCards) -> None:
    """Who asked for it is in the history of each selected object."""
    cards = right_cards(2)
    resync(boss, "loyaltycard", [card.pk for card in cards], force=True)
    entries = LogEntry.objects.filter(content_type__model="loyaltycard")
    assert {entry.object_id for entry in entries} == {card.key for card in cards}
    run = SyncRun.objects.get(trigger="admin")
    assert {entry.change_message for entry in entries} == {
        f"Re-sync: run {run.pk}. Sent even if unchanged."
    }
