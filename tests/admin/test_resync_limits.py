"""What the re-sync action does not send itself: too many passes, slow providers, wrong settings."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, SyncRun, WalletPass
from loyalty_wallet.sync import sync_wallet_passes
from tests.shopfront import Configure

from .pages import ask, confirm, hidden_fields, list_url, messages_of, resync, text_of

MakeCards = Callable[[int], list[LoyaltyCard]]


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


def test_history_of_a_whole_list(boss: Client, configure: Configure) -> None:
    """A whole list is one entry, so that a click does not write thousands of rows."""
    _many_passes(201)
    url = list_url("walletpass")
    pk = WalletPass.objects.values_list("pk", flat=True)[:1]
    confirm(boss, url, ask(boss, url, pk, across=True))
    entry = LogEntry.objects.get()
    assert entry.object_repr == "201 cards"
    assert entry.change_message == "Re-sync: due."
