"""Who may see, edit and re-sync."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram, SyncFailure, SyncRun, WalletPass

from .pages import ask, list_url, page_url, resync, sync_buttons, sync_url, text_of

VIEWS = (
    "view_loyaltyprogram",
    "view_loyaltycard",
    "view_loyaltytransaction",
    "view_walletpass",
    "view_syncrun",
    "view_syncfailure",
    "view_appledevicecomplaint",
)
MODELS = tuple(name.removeprefix("view_") for name in VIEWS)
HISTORY = ("walletpass", "syncrun", "syncfailure")
Login = Callable[..., Client]
MakeCards = Callable[[int], list[LoyaltyCard]]


@pytest.mark.parametrize("model", MODELS)
def test_staff_without_permission_sees_nothing(login: Login, model: str) -> None:
    """Being staff alone opens no list."""
    assert login().get(list_url(model)).status_code == 403


@pytest.mark.parametrize("model", MODELS)
def test_viewer_sees_lists(login: Login, model: str) -> None:
    """The view permission opens each list."""
    assert login(*VIEWS).get(list_url(model)).status_code == 200


def test_viewer_is_not_offered_the_action(login: Login, right_cards: MakeCards) -> None:
    """Who may only look sees neither action nor button."""
    (card,) = right_cards(1)
    client = login(*VIEWS)
    row = WalletPass.objects.get()
    for url in (
        list_url("loyaltyprogram"),
        list_url("loyaltycard"),
        list_url("walletpass"),
        page_url("loyaltyprogram", card.program_id),
        page_url("loyaltycard", card.pk),
        page_url("walletpass", row.pk),
    ):
        page = client.get(url)
        assert "Re-sync" not in text_of(page)
        assert sync_buttons(page) == []
        assert "/sync/" not in page.content.decode()


@pytest.mark.parametrize("is_confirmed", [False, True])
def test_viewer_cannot_run_the_action(
    login: Login, right_cards: MakeCards, is_confirmed: bool
) -> None:
    """A posted action without the permission is ignored: nothing queued, marked or logged."""
    (card,) = right_cards(1)
    client = login(*VIEWS)
    runs = SyncRun.objects.count()
    data = {"action": "resync_cards", "_selected_action": [card.pk]}
    if is_confirmed:
        data |= {"post": "yes", "force": "on"}
    answer = client.post(list_url("loyaltycard"), data)
    assert answer.status_code in (200, 302)
    assert "Re-sync" not in text_of(answer)
    assert SyncRun.objects.count() == runs
    assert not WalletPass.objects.due().exists()
    assert not LogEntry.objects.exists()


def test_viewer_cannot_press_a_button_that_is_not_there(
    login: Login, right_cards: MakeCards, program: LoyaltyProgram
) -> None:
    """Case 62: a posted order to sync is refused with 403; nothing is queued, marked or logged."""
    (card,) = right_cards(1)
    client = login(*VIEWS, "change_loyaltycard", "change_walletpass")
    runs = SyncRun.objects.count()
    row = WalletPass.objects.get()
    for model, pk in (
        ("loyaltycard", card.pk),
        ("walletpass", row.pk),
        ("loyaltyprogram", program.pk),
        ("loyaltycard", 10**6),
    ):
        assert client.post(sync_url(model, pk), {"force": "on"}).status_code == 403
    assert SyncRun.objects.count() == runs
    assert not WalletPass.objects.due().exists()
    assert not LogEntry.objects.exists()


def test_resync_permission_without_a_look_is_not_enough(
    login: Login, right_cards: MakeCards
) -> None:
    """A button belongs to a page: who may not see the card may not send it either."""
    (card,) = right_cards(1)
    client = login("resync_walletpass", "view_walletpass")
    assert client.post(sync_url("loyaltycard", card.pk)).status_code == 403
    assert not SyncRun.objects.filter(trigger="admin").exists()


def test_changing_cards_does_not_include_resync(login: Login, right_cards: MakeCards) -> None:
    """The re-sync permission is one of its own, not part of changing cards."""
    (card,) = right_cards(1)
    client = login(*VIEWS, "change_loyaltycard", "change_walletpass")
    ask(client, list_url("loyaltycard"), [card.pk])
    assert not SyncRun.objects.filter(trigger="admin").exists()


def test_resync_permission_is_enough(login: Login, right_cards: MakeCards) -> None:
    """Looking and re-syncing needs no right to change anything."""
    (card,) = right_cards(1)
    client = login(*VIEWS, "resync_walletpass")
    assert resync(client, "loyaltycard", [card.pk]).startswith("1 card is up to date.")


def test_resync_permission_alone_opens_no_list(login: Login, right_cards: MakeCards) -> None:
    """Who may not see a list cannot act on it."""
    (card,) = right_cards(1)
    client = login("resync_walletpass")
    assert ask(client, list_url("loyaltycard"), [card.pk]).status_code == 403
    assert not SyncRun.objects.filter(trigger="admin").exists()


def test_action_is_not_carried_out_by_a_link(boss: Client, right_cards: MakeCards) -> None:
    """A GET with everything that a confirmed POST has does nothing."""
    (card,) = right_cards(1)
    query: dict[str, Any] = {"action": "resync_cards", "post": "yes", "_selected_action": card.pk}
    boss.get(list_url("loyaltycard"), query)
    assert not SyncRun.objects.filter(trigger="admin").exists()
    assert not WalletPass.objects.due().exists()


@pytest.mark.parametrize("model", HISTORY)
def test_history_is_read_only(boss: Client, right_cards: MakeCards, model: str) -> None:
    """Not even a superuser adds, changes or deletes passes, runs and failures."""
    right_cards(1)
    run = SyncRun.objects.get()
    row = WalletPass.objects.get()
    failure = SyncFailure.objects.create(
        run=run, wallet_pass=row, code="bug", failed_at=timezone.now()
    )
    pk = {"walletpass": row.pk, "syncrun": run.pk, "syncfailure": failure.pk}[model]
    assert boss.get(reverse(f"admin:loyalty_wallet_{model}_add")).status_code == 403
    assert boss.post(page_url(model, pk), {"status": "failed", "code": "x"}).status_code == 403
    url = reverse(f"admin:loyalty_wallet_{model}_delete", args=[pk])
    assert boss.post(url, {"post": "yes"}).status_code == 403
    assert boss.get(page_url(model, pk)).status_code == 200


def test_transactions_are_append_only(boss: Client, right_cards: MakeCards) -> None:
    """A recorded transaction cannot be changed or deleted, and its page says what it was."""
    (card,) = right_cards(1)
    entry = card.record("earn", points=5)
    url = page_url("loyaltytransaction", entry.pk)
    assert boss.post(url, {"card": card.pk, "kind": "earn", "points": "9"}).status_code == 403
    delete = reverse("admin:loyalty_wallet_loyaltytransaction_delete", args=[entry.pk])
    assert boss.post(delete, {"post": "yes"}).status_code == 403
    assert boss.get(url).status_code == 200
    card.refresh_from_db()
    assert card.points_balance == 5


def test_adding_a_transaction_needs_its_permission(login: Login, right_cards: MakeCards) -> None:
    """The link is shown, and the form opens, only with the permission to add one."""
    (card,) = right_cards(1)
    client = login(*VIEWS, "change_loyaltycard")
    assert "Add a transaction" not in text_of(client.get(page_url("loyaltycard", card.pk)))
    assert client.get(reverse("admin:loyalty_wallet_loyaltytransaction_add")).status_code == 403
