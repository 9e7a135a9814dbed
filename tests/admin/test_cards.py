"""Programs, cards and transactions in the admin."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin import AdminSite
from django.db.models import F
from django.db.models.signals import pre_save
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from loyalty_wallet.admin import register
from loyalty_wallet.admin.forms import TransactionForm
from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import (
    LoyaltyCard,
    LoyaltyProgram,
    LoyaltyTransaction,
    SyncFailure,
    SyncRun,
    WalletPass,
)
from loyalty_wallet.sync import sync_wallet_passes
from tests.shopfront import balance_at, pass_of

from .pages import list_url, page_url, text_of

MakeCards = Callable[[int], list[LoyaltyCard]]
ADD = "admin:loyalty_wallet_loyaltytransaction_add"


def transaction(row: LoyaltyCard, **values: Any) -> dict[str, Any]:
    return {
        "card": row.pk,
        "kind": "earn",
        "points": "0",
        "stamps": "0",
        "reference": "",
        **values,
    }


def test_cards_are_registered_for_the_default_source() -> None:
    """With the default card source the shop's own tables are in the admin."""
    site = AdminSite()
    register(site)
    assert site.is_registered(LoyaltyCard)
    assert site.is_registered(LoyaltyProgram)
    assert site.is_registered(LoyaltyTransaction)


@pytest.mark.parametrize("source", ["tests.shop.sources.MemberSource", "nowhere.Source"])
def test_cards_are_not_registered_for_another_source(settings: Settings, source: str) -> None:
    """With cards of your own, or a source that cannot be read, only history is in the admin."""
    settings.LOYALTY_WALLET = {"CARD_SOURCE": source}
    site = AdminSite()
    register(site)
    assert not site.is_registered(LoyaltyCard)
    assert all(site.is_registered(model) for model in (WalletPass, SyncRun, SyncFailure))


def test_program_list_counts_cards(boss: Client, make_cards: MakeCards) -> None:
    """A program shows its cards and wallets, and says which alias is not configured."""
    make_cards(3)
    page = text_of(boss.get(list_url("loyaltyprogram")))
    assert "Coffee Club points Corner Café google, apple (not configured) 3" in page


def test_added_card_gets_its_passes(boss: Client, program: LoyaltyProgram) -> None:
    """A card added by hand is issued like any other."""
    url = reverse("admin:loyalty_wallet_loyaltycard_add")
    boss.post(url, {"program": program.pk, "card_number": "X1", "is_active": "on"})
    assert pass_of(LoyaltyCard.objects.get()).is_due


def test_edited_card_becomes_due(boss: Client, right_cards: MakeCards) -> None:
    """A new name must reach the phone; saving without a change must not."""
    (card,) = right_cards(1)
    form = {"program": card.program_id, "card_number": card.card_number, "is_active": "on"}
    boss.post(page_url("loyaltycard", card.pk), form)
    assert not pass_of(card).is_due
    boss.post(page_url("loyaltycard", card.pk), {**form, "holder_name": "Ada"})
    assert pass_of(card).is_due
    assert LoyaltyCard.objects.get().holder_name == "Ada"


def test_balance_is_not_edited_by_the_form(boss: Client, right_cards: MakeCards) -> None:
    """A posted balance is ignored."""
    (card,) = right_cards(1)
    form = {"program": card.program_id, "card_number": card.card_number, "points_balance": "99"}
    boss.post(page_url("loyaltycard", card.pk), form)
    assert LoyaltyCard.objects.get().points_balance == 0


def test_edit_does_not_undo_a_transaction_recorded_meanwhile(
    boss: Client, right_cards: MakeCards
) -> None:
    """The form writes only what was edited: a balance moved while it was saved stays moved."""
    (card,) = right_cards(1)

    def move(**_: Any) -> None:
        LoyaltyCard.objects.filter(pk=card.pk).update(points_balance=F("points_balance") + 5)

    pre_save.connect(move, sender=LoyaltyCard)
    try:
        form = {"program": card.program_id, "card_number": card.card_number, "holder_name": "Ada"}
        boss.post(page_url("loyaltycard", card.pk), form)
    finally:
        pre_save.disconnect(move, sender=LoyaltyCard)
    card.refresh_from_db()
    assert (card.holder_name, card.points_balance) == ("Ada", 5)


def test_transaction_moves_the_balance_to_the_phone(
    boss: Client, right_cards: MakeCards, google: GoogleEmulator
) -> None:
    """A transaction added by hand moves the balance, and the next run shows it."""
    (card,) = right_cards(1)
    answer = boss.post(reverse(ADD), transaction(card, points="40", reference="ticket 7"))
    assert answer["Location"] == page_url("loyaltycard", card.pk)
    card.refresh_from_db()
    assert card.points_balance == 40
    assert pass_of(card).is_due
    sync_wallet_passes()
    assert balance_at(google, card) == 40
    page = text_of(boss.get(answer["Location"]))
    assert "earn 40 0 ticket 7" in page


def test_redeemed_points_lower_the_balance(boss: Client, right_cards: MakeCards) -> None:
    """What a customer redeems is taken away, with or without a sign."""
    (card,) = right_cards(1)
    card.record("earn", points=100)
    boss.post(reverse(ADD), transaction(card, kind="redeem", points="30"))
    boss.post(reverse(ADD), transaction(card, kind="redeem", points="-20"))
    card.refresh_from_db()
    assert card.points_balance == 50


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({}, "moves points or stamps; both are 0"),
        ({"points": "-5"}, "This kind cannot take away; use adjust."),
        ({"kind": "adjust", "points": str(2**63 - 1)}, "larger than can be stored"),
        ({"kind": "adjust", "stamps": str(2**31 - 1)}, "larger than can be stored"),
        ({"points": "many"}, "Enter a whole number."),
        ({"kind": "", "points": "5"}, "This field is required."),
        ({"card": "", "points": "5"}, "This field is required."),
    ],
)
def test_bad_transaction_is_shown_in_the_form(
    boss: Client, right_cards: MakeCards, values: dict[str, str], complaint: str
) -> None:
    """Bad input comes back with its reason, nothing typed is lost and nothing is written."""
    (card,) = right_cards(1)
    card.record("adjust", points=1, stamps=1)
    form = transaction(card, reference="ticket 8", **values)
    answer = boss.post(reverse(ADD), form)
    assert answer.status_code == 200
    assert complaint in text_of(answer)
    assert answer.context["adminform"].form["reference"].value() == "ticket 8"
    assert LoyaltyTransaction.objects.count() == 1
    card.refresh_from_db()
    assert (card.points_balance, card.stamps) == (1, 1)


@pytest.mark.parametrize("kind", LoyaltyTransaction.Kind.values)
def test_form_takes_what_the_model_takes(make_cards: MakeCards, kind: str) -> None:
    """The form refuses exactly what `record` refuses, so that saving never fails."""
    (card,) = make_cards(1)
    for points, stamps in itertools.product((-3, 0, 3), (-2, 0, 2)):
        form = TransactionForm(transaction(card, kind=kind, points=points, stamps=stamps))
        try:
            card.record(kind, points=points, stamps=stamps)
        except ValueError:
            assert not form.is_valid()
        else:
            assert form.is_valid(), form.errors


def test_card_page_shows_a_failing_pass_with_its_remedy(
    boss: Client, right_cards: MakeCards, google: GoogleEmulator
) -> None:
    """The page of a card says what is wrong with its pass and what to do."""
    (card,) = right_cards(1)
    google.fail(status=400, message="The balance is <b>odd</b>.")
    card.record("earn", points=1)
    sync_wallet_passes()
    answer = boss.get(page_url("loyaltycard", card.pk))
    page = text_of(answer)
    assert "google wrong failing: rejected" in page
    assert "The balance is <b>odd</b>." in page
    assert "<b>odd" not in answer.content.decode()
    assert "Correct the card or program data that the message names" in page
    assert card.google_object_id in page
    assert page_url("walletpass", pass_of(card).pk) in answer.content.decode()


def test_card_page_without_pass(
    boss: Client, program: LoyaltyProgram, make_cards: MakeCards
) -> None:
    """A card in no wallet says so."""
    program.auto_issue = False
    program.save()
    (card,) = make_cards(1)
    assert "in no wallet yet" in text_of(boss.get(page_url("loyaltycard", card.pk)))


def test_card_page_shows_the_last_ten_transactions(boss: Client, make_cards: MakeCards) -> None:
    """Only the recent ones are on the page; a link leads to all."""
    (card,) = make_cards(1)
    for number in range(12):
        card.record("earn", points=1, reference=f"receipt-{number:02}")
    answer = boss.get(page_url("loyaltycard", card.pk))
    assert "receipt-02" in text_of(answer)
    assert "receipt-01" not in text_of(answer)
    url = f"{list_url('loyaltytransaction')}?card__id__exact={card.pk}"
    assert url in answer.content.decode()
    assert "receipt-00" in text_of(boss.get(url))


@pytest.mark.parametrize("words", ["C00002", "grace"])
def test_cards_are_found_by_number_and_holder(
    boss: Client, make_cards: MakeCards, words: str
) -> None:
    """The search box knows what is printed on a card."""
    cards = make_cards(3)
    cards[1].holder_name = "Grace Hopper"
    cards[1].save()
    page = text_of(boss.get(list_url("loyaltycard"), {"q": words}))
    assert "C00002 Grace Hopper" in page
    assert "C00001" not in page
