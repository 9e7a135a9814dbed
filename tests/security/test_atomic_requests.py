"""Projects with ATOMIC_REQUESTS: what delivers has no transaction around it, all else has its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection, connections, transaction
from django.http import HttpRequest
from django.test import Client
from django.urls import URLPattern, get_resolver, reverse

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.exceptions import SyncInTransactionError
from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram, SyncRun, WalletPass
from tests.admin.pages import ask, list_url, resync, sync_url
from tests.phonefront import PASS_TYPE, iphone_pass
from tests.shopfront import Configure, balance_at

from .doors import PUBLIC

pytestmark = pytest.mark.django_db(transaction=True)

MakeCards = Callable[[int], list[LoyaltyCard]]


@pytest.fixture(autouse=True)
def _atomic_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    for alias in connections:
        monkeypatch.setitem(connections.settings[alias], "ATOMIC_REQUESTS", True)


@pytest.fixture
def both(program: LoyaltyProgram, configure_apple: Callable[..., None]) -> LoyaltyProgram:
    """A program in both wallets."""
    return program


@pytest.mark.parametrize("pattern", PUBLIC, ids=lambda pattern: str(pattern.name))
def test_no_public_address_has_a_transaction_around_it(pattern: URLPattern) -> None:
    """Nothing waits for a provider, a crowd or a slow phone with the database locked."""
    assert set(connections) <= pattern.callback._non_atomic_requests  # type: ignore[attr-defined]


@pytest.mark.parametrize("forces", [False, True])
def test_sync_now_of_one_card(
    boss: Client, right_cards: MakeCards, google: GoogleEmulator, forces: bool
) -> None:
    """The button of a card's page sends it."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    answer = boss.post(sync_url("loyaltycard", card.pk), {"force": "on"} if forces else {})
    assert answer.status_code == 302
    assert balance_at(google, card) == 5
    assert SyncRun.objects.get(trigger="admin").status == SyncRun.Status.SUCCEEDED


def test_resync_from_a_list(boss: Client, right_cards: MakeCards, google: GoogleEmulator) -> None:
    """Question, answer and delivery, as without the setting."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    assert resync(boss, "loyaltycard", [card.pk]).startswith("1 card is up to date.")
    assert balance_at(google, card) == 5


def test_other_actions_of_such_a_list_keep_their_transaction(
    boss: Client, right_cards: MakeCards, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A project's own action beside ours is still all or nothing."""
    (card,) = right_cards(1)

    def rename_and_fail(model_admin: Any, request: HttpRequest, queryset: Any) -> None:
        queryset.update(holder_name="Half done")
        raise RuntimeError("The project's own action broke.")

    card_admin = admin.site._registry[LoyaltyCard]
    monkeypatch.setattr(
        card_admin, "actions", [*(card_admin.actions or ()), rename_and_fail], raising=False
    )
    with pytest.raises(RuntimeError, match="own action"):
        ask(boss, list_url("loyaltycard"), [card.pk], action="rename_and_fail")
    card.refresh_from_db()
    assert card.holder_name != "Half done"


def test_the_check_of_the_wallets_locks_nothing_while_it_waits(
    boss: Client, right_cards: MakeCards, google: GoogleEmulator
) -> None:
    """The providers are asked, with their answers written down, and no transaction held open."""
    right_cards(1)
    answer = boss.post(reverse("admin:loyalty_wallet_syncrun_check"), follow=True)
    assert "Checked: all wallets answer." in answer.content.decode()
    for name in ("check", "sync_now", "changelist"):
        url = reverse(f"admin:loyalty_wallet_syncrun_{name}")
        view: Any = get_resolver().resolve(url).func
        assert view._non_atomic_requests == set(connections), name


def test_customer_adds_a_card(both: LoyaltyProgram, google: GoogleEmulator) -> None:
    """Google's button inserts the object first; the `.pkpass` gets its first version."""
    both.auto_issue = False
    both.save()
    card = LoyaltyCard.objects.create(program=both, card_number="1", points_balance=3)
    page = card.get_card_url()
    assert Client().get(page).status_code == 200
    answer = Client().get(f"{page}google/")
    assert answer.status_code == 302
    assert "/save/" in answer["Location"]
    assert balance_at(google, card) == 3
    answer = Client().get(f"{page}card.pkpass")
    assert answer["Content-Type"] == "application/vnd.apple.pkpass"
    assert answer.content[:2] == b"PK"


def test_phone_registers_and_fetches(both: LoyaltyProgram, right_cards: MakeCards) -> None:
    """Apple's web service as without the setting."""
    (card,) = right_cards(1)
    row = iphone_pass(card)
    headers = {"Authorization": f"ApplePass {row.authentication_token}"}
    root = "/wallet/apple/v1"
    own = f"{root}/devices/{'d' * 32}/registrations/{PASS_TYPE}"
    body = json.dumps({"pushToken": "ab" * 32})
    phone = Client(headers=headers)
    answer = phone.post(f"{own}/{row.remote_id}", body, content_type="application/json")
    assert answer.status_code == 201
    assert phone.get(own).json()["serialNumbers"] == [row.remote_id]
    assert phone.get(f"{root}/passes/{PASS_TYPE}/{row.remote_id}").status_code == 200
    assert phone.delete(f"{own}/{row.remote_id}").status_code == 200


@pytest.mark.parametrize("path", ["wallet-status/", "wallet-metrics/"])
def test_monitors(configure: Configure, right_cards: MakeCards, path: str) -> None:
    """Status and metrics, with the probes that the status makes."""
    configure(STATUS_TOKEN="a-token-of-the-settings")
    right_cards(1)
    headers = {"Authorization": "Bearer a-token-of-the-settings"}
    assert Client().get(f"/wallet/{path}", headers=headers).status_code == 200


def test_save_link_within_a_transaction_says_what_to_do(
    right_cards: MakeCards, program: LoyaltyProgram, google: GoogleEmulator
) -> None:
    """A view of the project's own: its developer learns of the decorator, and nothing is sent."""
    program.auto_issue = False
    program.save()
    card = LoyaltyCard.objects.create(program=program, card_number="1")
    with pytest.raises(SyncInTransactionError, match="non_atomic_requests"), transaction.atomic():
        card.save_link()
    assert google.object_requests == []
    assert not WalletPass.objects.exists()
    assert not connection.in_atomic_block
