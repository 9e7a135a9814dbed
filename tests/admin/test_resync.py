"""The re-sync action without a broker: asked, confirmed, sent or marked."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram, SyncFailure, SyncRun, WalletPass
from loyalty_wallet.sync import sync_wallet_passes
from tests.phonefront import iphone_pass
from tests.shopfront import Configure, balance_at, pass_of

from .pages import (
    ask,
    confirm,
    hidden_fields,
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


def test_resolved_failure_can_be_sent_from_its_page(
    boss: Client, right_cards: MakeCards, google: GoogleEmulator
) -> None:
    """The button of a page is about its row, whatever lists show by default."""
    (card,) = right_cards(1)
    fault = google.fail(status=400)
    card.record("earn", points=7)
    sync_wallet_passes()
    google.heal(fault)
    sync_wallet_passes()
    page = boss.get(page_url("syncfailure", SyncFailure.objects.get().pk))
    assert sync_buttons(page) == [
        ("Sync now", sync_url("syncfailure", SyncFailure.objects.get().pk), False),
        ("Sync even if unchanged", sync_url("syncfailure", SyncFailure.objects.get().pk), True),
    ]
    google._service.log.clear()
    boss.post(sync_url("syncfailure", SyncFailure.objects.get().pk), {"force": "on"})
    assert [entry.method for entry in google.object_requests] == ["PATCH"]


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


def test_twenty_five_passes_are_sent_in_the_request(
    boss: Client, right_cards: MakeCards, google: GoogleEmulator
) -> None:
    """Up to 25 passes are sent at once."""
    cards = right_cards(25)
    message = resync(boss, "loyaltycard", [card.pk for card in cards], force=True)
    assert message.startswith("25 cards are up to date.")
    assert len(google.object_requests) == 25


@pytest.mark.parametrize("is_forced", [False, True])
def test_twenty_six_passes_are_marked_as_due(
    boss: Client, right_cards: MakeCards, google: GoogleEmulator, is_forced: bool
) -> None:
    """More than 25 passes are not sent by a request; the message says how to send them."""
    cards = right_cards(26)
    message = resync(boss, "loyaltycard", [card.pk for card in cards], force=is_forced)
    assert "26 cards are marked as due" in message
    assert "<code>manage.py sync_wallet_passes</code>" in message
    assert google.object_requests == []
    assert not SyncRun.objects.filter(trigger="admin").exists()
    assert WalletPass.objects.due().filter(is_forced=is_forced).count() == 26
    assert sync_wallet_passes().cards["synced" if is_forced else "unchanged"] == 26


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


def _many_passes(count: int) -> None:
    WalletPass.objects.bulk_create(
        WalletPass(
            card_key=f"k{number}",
            wallet="google",
            remote_id=f"r{number}",
            program_key="coffee" if number % 2 else "tea",
            card_label=f"Card {number}",
        )
        for number in range(count)
    )


def test_whole_list_of_1200_rows(boss: Client, configure: Configure) -> None:
    """A list longer than Django's limit of form fields is confirmed with one key, not 1,200."""
    _many_passes(1200)
    url = list_url("walletpass")
    first = WalletPass.objects.values_list("pk", flat=True)[:50]
    question = ask(boss, url, first, across=True)
    assert "Re-sync 1200 cards?" in text_of(question)
    assert len(hidden_fields(question)["_selected_action"]) == 1
    (message,) = messages_of(confirm(boss, url, question))
    assert "1200 cards are marked as due" in message
    assert WalletPass.objects.due().count() == 1200


def test_whole_filtered_list(boss: Client, configure: Configure) -> None:
    """All of a filtered list means the filtered rows, before and after the question."""
    _many_passes(1200)
    url = list_url("walletpass") + "?program=tea"
    pk = WalletPass.objects.filter(program_key="tea").values_list("pk", flat=True)[:1]
    confirm(boss, url, ask(boss, url, pk, across=True))
    due = WalletPass.objects.due()
    assert due.count() == 600
    assert set(due.values_list("program_key", flat=True)) == {"tea"}


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


def test_no_attempt_is_begun_that_could_outlast_the_page(
    boss: Client, right_cards: MakeCards, google: GoogleEmulator, configure: Configure
) -> None:
    """Where one attempt may take longer than the page's 20 seconds, nothing is sent from it."""
    (card,) = right_cards(1)
    card.record("earn", points=1)
    configure(timeout_seconds=19)
    question = ask(boss, list_url("loyaltycard"), [card.pk])
    assert f"manage.py sync_wallet_passes --card {card.pk}" in text_of(question)
    assert 'name="notify"' not in question.content.decode()
    (message,) = messages_of(confirm(boss, list_url("loyaltycard"), question, notify=True))
    assert "1 card is marked as due" in message
    assert google.object_requests == []
    configure(timeout_seconds=18)
    assert resync(boss, "loyaltycard", [card.pk]).startswith("1 card is up to date.")


def test_wrong_settings_are_told(boss: Client, configure: Configure) -> None:
    """A wallet that cannot be built gives a message, not a broken page."""
    _many_passes(1)
    configure(api_url="http://example.com")
    url = list_url("walletpass")
    answer = ask(boss, url, WalletPass.objects.values_list("pk", flat=True))
    (message,) = messages_of(boss.get(answer["Location"]))
    assert "the settings are wrong" in message
    assert "api_url must be https" in message


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


def test_history_of_a_whole_list(boss: Client, configure: Configure) -> None:
    """A whole list is one entry, so that a click does not write thousands of rows."""
    _many_passes(201)
    url = list_url("walletpass")
    pk = WalletPass.objects.values_list("pk", flat=True)[:1]
    confirm(boss, url, ask(boss, url, pk, across=True))
    entry = LogEntry.objects.get()
    assert entry.object_repr == "201 cards"
    assert entry.change_message == "Re-sync: due."


class TestOneClick:
    def test_card_is_synced_from_its_page(
        self, boss: Client, right_cards: MakeCards, google: GoogleEmulator
    ) -> None:
        """One click, one attempt, one message, back on the page that shows the outcome."""
        (card,) = right_cards(1)
        LoyaltyCard.objects.update(points_balance=7)
        page = boss.get(page_url("loyaltycard", card.pk))
        assert "google wrong" in text_of(page)
        assert sync_buttons(page)[0] == ("Sync now", sync_url("loyaltycard", card.pk), False)
        answer = boss.post(sync_url("loyaltycard", card.pk), follow=True)
        assert answer.redirect_chain == [(page_url("loyaltycard", card.pk), 302)]
        (message,) = messages_of(answer)
        assert message.startswith("1 card is up to date.")
        assert "google right" in text_of(answer)
        assert balance_at(google, card) == 7
        run = SyncRun.objects.get(trigger="admin")
        assert LogEntry.objects.get().change_message == f"Re-sync: run {run.pk}."

    def test_it_is_not_carried_out_by_a_link(self, boss: Client, right_cards: MakeCards) -> None:
        """Effects need a POST."""
        (card,) = right_cards(1)
        assert boss.get(sync_url("loyaltycard", card.pk)).status_code == 405
        assert not SyncRun.objects.filter(trigger="admin").exists()

    @pytest.mark.usefixtures("configure_apple")
    def test_a_pass_is_synced_in_its_own_wallet(
        self, boss: Client, right_cards: MakeCards, google: GoogleEmulator
    ) -> None:
        """The other wallet of the card is left alone."""
        (card,) = right_cards(1)
        boss.post(sync_url("walletpass", iphone_pass(card).pk), {"force": "on"})
        run = SyncRun.objects.get(trigger="admin")
        assert run.selection == {"kind": "cards", "cards": [card.key], "wallet": "apple"}
        assert google.object_requests == []

    @pytest.mark.usefixtures("configure_apple")
    def test_buttons_of_each_wallet_lead_back_to_the_card(
        self, boss: Client, right_cards: MakeCards
    ) -> None:
        """They are outside the form that saves the card, and only lead to pages of ours."""
        (card,) = right_cards(1)
        url = page_url("loyaltycard", card.pk)
        row = pass_of(card)
        page = boss.get(url).content.decode()
        assert (
            f'<form id="lw-sync-{row.pk}" method="post" action="{sync_url("walletpass", row.pk)}">'
            in page
        )
        assert f'form="lw-sync-{row.pk}"' in page
        answer = boss.post(sync_url("walletpass", row.pk), {"next": url})
        assert answer["Location"] == url
        answer = boss.post(sync_url("walletpass", row.pk), {"next": "https://elsewhere.example/"})
        assert answer["Location"] == page_url("walletpass", row.pk)

    def test_a_wallet_that_is_not_configured_is_told(
        self, boss: Client, configure: Configure, google: GoogleEmulator
    ) -> None:
        """A pass that was left behind by a wallet which is gone from the settings."""
        row = WalletPass.objects.create(card_key="1", wallet="gone", remote_id="r")
        (message,) = messages_of(boss.post(sync_url("walletpass", row.pk), follow=True))
        assert "No wallet &#x27;gone&#x27; is configured" in message

    def test_wrong_settings_are_told(self, boss: Client, configure: Configure) -> None:
        """The page and its button say what is wrong, and do not break."""
        row = WalletPass.objects.create(card_key="1", wallet="google", remote_id="r")
        configure(api_url="http://example.com")
        assert "the settings are wrong" in text_of(boss.get(page_url("walletpass", row.pk)))
        (message,) = messages_of(boss.post(sync_url("walletpass", row.pk), follow=True))
        assert "api_url must be https" in message
