"""Who may do what: every address and every action of ours, for everybody, in one table.

A new view or action without a row in it fails here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from django.urls import get_resolver, reverse
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import (
    AppleDeviceComplaint,
    LoyaltyCard,
    LoyaltyTransaction,
    SyncFailure,
    SyncRun,
    WalletAudit,
    WalletPass,
)
from tests.phonefront import PASS_TYPE, iphone_pass, register
from tests.shopfront import Configure, pass_of

from . import doors

MakeCards = Callable[[int], list[LoyaltyCard]]
Login = Callable[..., Client]
World = dict[str, int]

MODELS = (
    "appledevicecomplaint",
    "loyaltycard",
    "loyaltyprogram",
    "loyaltytransaction",
    "syncfailure",
    "syncrun",
    "walletaudit",
    "walletpass",
)
VIEWS = tuple(f"view_{model}" for model in MODELS)
# What they hold beside being staff; a boss holds everything.
PEOPLE: dict[str, tuple[str, ...] | None] = {
    "stranger": None,
    "staff": (),
    "viewer": VIEWS,
    "resyncer": (*VIEWS, "resync_walletpass"),
    "starter": (*VIEWS, "run_sync"),
    "stopper": (*VIEWS, "cancel_syncrun"),
    "prober": (*VIEWS, "run_probes"),
    "eraser": (*VIEWS, "erase_walletpass"),
    "boss": None,
}
NOBODY: set[str] = set()
BOSS = {"boss"}
VIEWERS = set(PEOPLE) - {"stranger", "staff"}
RESYNCERS = {"resyncer", "boss"}

# Model, view, method, who may.
ADDRESSES: list[tuple[str, str, str, set[str]]] = [
    *((model, "changelist", "GET", VIEWERS) for model in MODELS),
    *((model, "change", "GET", VIEWERS) for model in MODELS),
    *((model, "history", "GET", VIEWERS) for model in MODELS),
    ("appledevicecomplaint", "add", "GET", NOBODY),
    ("loyaltycard", "add", "GET", BOSS),
    ("loyaltyprogram", "add", "GET", BOSS),
    ("loyaltytransaction", "add", "GET", BOSS),
    ("syncfailure", "add", "GET", NOBODY),
    ("syncrun", "add", "GET", NOBODY),
    ("walletaudit", "add", "GET", NOBODY),
    ("walletpass", "add", "GET", NOBODY),
    ("appledevicecomplaint", "delete", "GET", NOBODY),
    ("loyaltycard", "delete", "GET", BOSS),
    ("loyaltyprogram", "delete", "GET", BOSS),
    ("loyaltytransaction", "delete", "GET", NOBODY),
    ("syncfailure", "delete", "GET", NOBODY),
    ("syncrun", "delete", "GET", NOBODY),
    ("walletaudit", "delete", "GET", NOBODY),
    ("walletpass", "delete", "GET", NOBODY),
    ("appledevicecomplaint", "change", "POST", NOBODY),
    ("loyaltycard", "change", "POST", BOSS),
    ("loyaltyprogram", "change", "POST", BOSS),
    ("loyaltytransaction", "change", "POST", NOBODY),
    ("syncfailure", "change", "POST", NOBODY),
    ("syncrun", "change", "POST", NOBODY),
    ("walletaudit", "change", "POST", NOBODY),
    ("walletpass", "change", "POST", NOBODY),
    ("syncrun", "progress", "GET", VIEWERS),
    ("syncrun", "sync_now", "POST", {"starter", "boss"}),
    ("syncrun", "check", "POST", {"prober", "boss"}),
    ("loyaltycard", "sync", "POST", RESYNCERS),
    ("walletpass", "sync", "POST", RESYNCERS),
    ("syncfailure", "sync", "POST", RESYNCERS),
    # Only what is about one card has such a button.
    ("loyaltyprogram", "sync", "POST", NOBODY),
    ("syncrun", "sync", "POST", NOBODY),
]
WITHOUT_OBJECT = {"changelist", "add", "check", "sync_now"}

# In this order: what comes first leaves enough for what follows.
ACTIONS: list[tuple[str, str, set[str]]] = [
    ("syncfailure", "export_failures", RESYNCERS),
    ("syncfailure", "take_up", RESYNCERS),
    ("syncfailure", "set_aside", RESYNCERS),
    ("syncrun", "export_failures", RESYNCERS),
    ("syncrun", "cancel_runs", {"stopper", "boss"}),
    ("syncrun", "resync_cards", RESYNCERS),
    ("syncfailure", "resync_cards", RESYNCERS),
    ("walletpass", "resync_cards", RESYNCERS),
    ("loyaltycard", "resync_cards", RESYNCERS),
    ("loyaltyprogram", "resync_cards", RESYNCERS),
    ("walletpass", "erase_cards", {"eraser", "boss"}),
    ("loyaltycard", "erase_cards", {"eraser", "boss"}),
    ("loyaltycard", "delete_selected", BOSS),
    ("loyaltyprogram", "delete_selected", BOSS),
]


@pytest.fixture
def world(right_cards: MakeCards) -> World:
    """One row of everything, and a pass for each action to work on."""
    failing, aside = right_cards(2)
    now = timezone.now()
    run = SyncRun.objects.create(trigger="admin", selection={"kind": "due"})
    WalletPass.objects.filter(pk=pass_of(failing).pk).update(due_at=now)
    WalletPass.objects.filter(pk=pass_of(aside).pk).update(
        due_at=now, state=WalletPass.State.SET_ASIDE
    )
    failures = [
        SyncFailure.objects.create(
            run=run, wallet_pass=pass_of(card), code="rejected", failed_at=now
        )
        for card in (failing, aside)
    ]
    entry = LoyaltyTransaction.objects.create(card=aside, kind="earn", points=1)
    complaint = AppleDeviceComplaint.objects.create(
        kind="other", message="?", first_at=now, last_at=now
    )
    audit = WalletAudit.objects.create(wallet="google", started_at=now, heartbeat_at=now)
    return {
        "appledevicecomplaint": complaint.pk,
        "loyaltycard": failing.pk,
        "loyaltyprogram": failing.program_id,
        "loyaltytransaction": entry.pk,
        "syncfailure": failures[0].pk,
        "syncrun": run.pk,
        "walletaudit": audit.pk,
        "walletpass": pass_of(failing).pk,
    }


def client_of(person: str, login: Login) -> Client:
    held = PEOPLE[person]
    if held is not None:
        return login(*held)
    client = Client()
    if person == "boss":
        client.force_login(User.objects.create(username="boss", is_staff=True, is_superuser=True))
    return client


def verdict(answer: Any) -> str:
    """Return whether an address was opened, refused, or asked for a login."""
    if answer.status_code == 403:
        return "refused"
    if answer.status_code == 302 and "/login/" in answer["Location"]:
        return "login"
    assert answer.status_code in (200, 302), answer
    return "opened"


def expected(person: str, may: set[str]) -> str:
    return "opened" if person in may else "login" if person == "stranger" else "refused"


def test_every_address_has_a_row() -> None:
    """A new view of the admin is open to nobody knows whom, until it stands in the table."""
    names = [str(pattern.name) for pattern in doors.patterns(get_resolver().url_patterns)]
    ours = {name for name in names if name.startswith("loyalty_wallet_")}
    assert ours == {f"loyalty_wallet_{model}_{view}" for model, view, *_ in ADDRESSES}


@pytest.mark.parametrize("person", PEOPLE)
def test_addresses(person: str, world: World, login: Login) -> None:
    """Each address opens for those in the table, and for nobody else."""
    client = client_of(person, login)
    wrong = {}
    for model, view, method, may in ADDRESSES:
        if may == VIEWERS and person in ("starter", "stopper", "prober", "eraser"):
            # They hold what a viewer holds, who opens the same pages.
            continue
        arguments = () if view in WITHOUT_OBJECT else (world[model],)
        url = reverse(f"admin:loyalty_wallet_{model}_{view}", args=arguments)
        found = verdict(client.generic(method, url))
        if found != expected(person, may):
            wrong[model, view, method] = found
    assert wrong == {}


@pytest.mark.parametrize("person", ["stranger", "staff", "viewer", "resyncer"])
def test_posted_orders_do_nothing_for_others(person: str, world: World, login: Login) -> None:
    """Whoever is refused has changed, queued and deleted nothing, whatever the form says."""
    client = client_of(person, login)
    before = [list(admin.site._registry[m].model._default_manager.values()) for m in _models()]
    for model, view, method, may in ADDRESSES:
        if person not in may and (method == "POST" or view in ("add", "delete")):
            arguments = () if view in WITHOUT_OBJECT else (world[model],)
            url = reverse(f"admin:loyalty_wallet_{model}_{view}", args=arguments)
            fields = {"post": "yes", "force": "on", "name": "Mallory", "kind": "earn"}
            assert verdict(client.post(url, fields)) == expected(person, may), (model, view)
    after = [list(admin.site._registry[m].model._default_manager.values()) for m in _models()]
    assert after == before
    assert not LogEntry.objects.exists()


def _models() -> list[Any]:
    return [model for model in admin.site._registry if model._meta.app_label == "loyalty_wallet"]


def test_every_action_has_a_row(db: None) -> None:
    """A new action is no one's, until it stands in the table."""
    request = RequestFactory().get("/")
    request.user = User.objects.create(username="boss", is_staff=True, is_superuser=True)
    found = {
        (model._meta.model_name, action)
        for model in _models()
        for action in admin.site._registry[model].get_actions(request)
    }
    assert found == {(model, action) for model, action, _ in ACTIONS}


@pytest.mark.parametrize("person", PEOPLE)
def test_actions(person: str, world: World, login: Login) -> None:
    """An action that is posted works for those in the table; nobody else leaves a trace."""
    client = client_of(person, login)
    wrong = {}
    for model, action, may in ACTIONS:
        before = LogEntry.objects.count()
        rows = admin.site._registry[_model(model)].model._default_manager
        data = {
            "action": action,
            "index": "0",
            "post": "yes",
            "_selected_action": list(rows.values_list("pk", flat=True)),
        }
        answer = client.post(reverse(f"admin:loyalty_wallet_{model}_changelist"), data)
        getattr(answer, "getvalue", bytes)()
        did_something = LogEntry.objects.count() > before
        if action == "delete_selected" and person in may:
            # Django's own: what has a history is kept, and says so.
            did_something = answer.status_code in (200, 403)
        if did_something is not (person in may):
            wrong[model, action] = answer
    assert wrong == {}


def _model(name: str) -> Any:
    return next(model for model in _models() if model._meta.model_name == name)


# --- What is open to the world --------------------------------------------------------------------

# Name, method, and what is answered without a secret, with a wrong one, and with the right one.
PUBLIC: dict[str, tuple[str, int, int, int]] = {
    "apple_registration": ("POST", 401, 401, 201),
    # A device's own name is its secret: one that is not known has nothing new.
    "apple_changed_passes": ("GET", 204, 204, 200),
    "apple_pass": ("GET", 401, 401, 200),
    # Anybody may complain; see test_strangers.py for what follows from it: nothing.
    "apple_log": ("POST", 200, 200, 200),
    "wallet_status": ("GET", 401, 401, 200),
    "wallet_metrics": ("GET", 401, 401, 200),
    "google_callback": ("POST", 400, 400, 200),
    "card_page": ("GET", 404, 404, 200),
    "card_google": ("GET", 404, 404, 302),
    "card_pass": ("GET", 404, 404, 200),
}


def test_every_public_address_has_a_row() -> None:
    """A new door to the world stands in the table, with what it asks for."""
    assert {pattern.name for pattern in doors.PUBLIC} == set(PUBLIC)


@pytest.mark.django_db
@pytest.mark.parametrize("name", PUBLIC)
def test_public_address(
    name: str,
    configure: Configure,
    configure_apple: Callable[..., None],
    right_cards: MakeCards,
    google: GoogleEmulator,
) -> None:
    """Nothing without the secret, nothing with a wrong one, and what was promised with the right one."""
    token = "a-token-of-the-settings"
    configure(STATUS_TOKEN=token)
    configure_apple()
    card, other = right_cards(2)
    row = iphone_pass(card)
    device = register(card)[0].device.device_library_identifier
    signed = card.get_card_url().rstrip("/").rpartition("/")[2]
    method, without, wrong, right = PUBLIC[name]
    # What stands in the address or the header: none, somebody else's or a tampered one, the right.
    headers, body = ["", "", ""], ["{}"] * 3
    paths: list[tuple[str, ...]] = [(), (), ()]
    match name:
        case "apple_registration" | "apple_pass":
            place = ("d" * 32,) if name == "apple_registration" else ()
            paths = [(*place, PASS_TYPE, row.remote_id)] * 3
            headers = ["", f"ApplePass {iphone_pass(other).authentication_token}"]
            headers.append(f"ApplePass {row.authentication_token}")
            body = [json.dumps({"pushToken": "ab" * 32})] * 3
        case "apple_changed_passes":
            paths = [(who, PASS_TYPE) for who in ("0", "f" * 32, device)]
        case "apple_log":
            body = ['{"logs": []}'] * 3
        case "wallet_status" | "wallet_metrics":
            headers = ["", f"Bearer {token[:-1]}", f"Bearer {token}"]
        case "google_callback":
            _, signed_body = google._service.callback_signer.sign(
                object_id=card.google_object_id, class_id=f"{google.issuer_id}.coffee", event="save"
            )
            forged = {**signed_body, "signature": signed_body["signature"][::-1]}
            body = ["{}", json.dumps(forged), json.dumps(signed_body)]
        case _:
            tampered = signed[:20] + signed[20:30][::-1] + signed[30:]
            paths = [(part,) for part in (str(card.pk), tampered, signed)]
    answers = []
    for header, path, content in zip(headers, paths, body, strict=True):
        answer = Client().generic(
            method,
            reverse(f"loyalty_wallet:{name}", args=path),
            content,
            content_type="application/json",
            headers={"Authorization": header} if header else {},
        )
        answers.append(answer.status_code)
        assert answer["Cache-Control"] == "no-store"
        assert "Set-Cookie" not in answer.headers
    assert answers == [without, wrong, right]
