"""Erasing cards in the admin: a question, a permission of its own, a word in the history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, WalletPass
from loyalty_wallet.signals import passes_touched
from loyalty_wallet.sync import sync_wallet_passes
from tests.shopfront import pass_of

from .pages import ask, confirm, hidden_fields, list_url, messages_of, page_url, text_of

Login = Callable[..., Client]
MakeCards = Callable[[int], list[LoyaltyCard]]

ACTION = "erase_cards"


@pytest.mark.parametrize("model", ["loyaltycard", "walletpass"])
def test_cards_are_erased_after_a_question(
    boss: Client, google: GoogleEmulator, right_cards: MakeCards, model: str
) -> None:
    """The page says that it cannot be undone; who did it is on record."""
    card, other = right_cards(2)
    pk = card.pk if model == "loyaltycard" else pass_of(card).pk
    question = ask(boss, list_url(model), [pk], action=ACTION)
    assert "Erase 1 card from the wallets?" in text_of(question)
    assert "cannot be undone" in text_of(question)
    assert "1 pass is made void" in text_of(question)
    assert pass_of(card).state == WalletPass.State.ACTIVE

    (message,) = messages_of(confirm(boss, list_url(model), question))
    sync_wallet_passes()

    assert message.startswith("1 card is being erased from the wallets")
    assert google.objects[pass_of(card).remote_id]["state"] == "INACTIVE"
    assert pass_of(card).state == WalletPass.State.ERASED
    assert pass_of(other).state == WalletPass.State.ACTIVE
    assert LogEntry.objects.get().change_message == "Erased from the wallets."
    listed = text_of(boss.get(f"{list_url('walletpass')}?status=ended"))
    assert "erased" in listed
    assert "1 wallet pass" in listed
    page = text_of(boss.get(page_url("walletpass", pass_of(card).pk)))
    assert "The card was erased from the wallets" in page


def test_a_whole_list_is_erased_by_its_address(boss: Client, right_cards: MakeCards) -> None:
    """One key stands for all rows of the list; workers are woken once, not for each card."""
    woken: list[list[str]] = []

    def note(card_keys: list[str], **_: Any) -> None:
        woken.append(card_keys)

    cards = right_cards(3)
    url = list_url("loyaltycard")
    question = ask(boss, url, [cards[0].pk], action=ACTION, across=True)
    assert len(hidden_fields(question)["_selected_action"]) == 1

    passes_touched.connect(note)
    try:
        confirm(boss, url, question)
    finally:
        passes_touched.disconnect(note)

    assert [set(keys) for keys in woken] == [{card.key for card in cards}]
    assert WalletPass.objects.filter(state=WalletPass.State.ERASING).count() == 3


def test_to_send_again_is_not_to_erase(login: Login, right_cards: MakeCards) -> None:
    """Whoever may sync cards again is not offered to erase them, nor heard when posting it."""
    (card,) = right_cards(1)
    clerk = login("view_loyaltycard", "change_loyaltycard", "resync_walletpass")
    assert ACTION not in clerk.get(list_url("loyaltycard")).content.decode()

    ask(clerk, list_url("loyaltycard"), [card.pk], action=ACTION)

    assert pass_of(card).state == WalletPass.State.ACTIVE
