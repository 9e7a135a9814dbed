"""Case 60: nothing secret is in any output, table, page, log, message or metric.

Keys, tokens and passwords are planted wherever they are configured, and quoted by providers and
phones in all that these say; a run fails in many ways, and then everything is read.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from loyalty_wallet import tasks
from loyalty_wallet.conf import get_conf
from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.emulator.apple import ApnsEmulator, Authority
from loyalty_wallet.models import LoyaltyCard, SyncFailure, WalletPass
from loyalty_wallet.redaction import MASK
from loyalty_wallet.registry import get_wallets
from loyalty_wallet.sync import sync_card_to_wallets, sync_wallet_passes, touch
from tests.admin.pages import ask, confirm, list_url, sync_url
from tests.admin.test_broker import broker
from tests.phonefront import PASS_TYPE, iphone_pass, register
from tests.servers import RedisServer
from tests.shop.models import Member
from tests.shopfront import Configure

from .crawl import admin_pages, said, text_of

pytestmark = pytest.mark.django_db(transaction=True)

MakeCards = Callable[[int], list[LoyaltyCard]]

STATUS_TOKEN = "planted-status-token-77aa"
PASSWORD = "planted-key-password-31bc"
PUSH_TOKEN = "5ec4e7" * 10 + "beef"
ADDRESS = "mallory.planted@customer.example"
DEVICE = "dec0de" * 5 + "42"
KEPT_ON_PURPOSE = {"authentication_token", "push_token", "device_library_identifier"}
"""Columns without which no phone could be told of anything."""


def body_of(pem: bytes | str) -> str:
    """Return a line of a key that is in no other."""
    text = pem.decode() if isinstance(pem, bytes) else pem
    return text.splitlines()[3]


def tables() -> Iterator[tuple[str, str]]:
    models: list[Any] = [*apps.get_app_config("loyalty_wallet").get_models(), LogEntry]
    for model in models:
        for row in model._default_manager.values():
            columns = {name: value for name, value in row.items() if name not in KEPT_ON_PURPOSE}
            yield f"table {model.__name__}", json.dumps(columns, default=str)


def messages(url: str) -> Iterator[tuple[str, str]]:
    """Yield all that lies in the broker, in the queue and beside it."""
    with redis.Redis.from_url(url) as server:
        for key in server.scan_iter():
            kind = server.type(key)
            if kind == b"list":
                content: Any = server.lrange(key, 0, -1)
            elif kind == b"hash":
                content = server.hgetall(key)
            elif kind == b"string":
                content = server.get(key)
            else:
                content = server.dump(key)
            yield f"broker {key!r}", repr(content)


def answers(boss: Client) -> Iterator[tuple[str, str]]:
    for name, answer in admin_pages(boss):
        yield f"page {name}", text_of(answer)
    for path in ("wallet-status/", "wallet-status/?fast=1", "wallet-metrics/"):
        headers = {"Authorization": f"Bearer {STATUS_TOKEN}"}
        answer = Client().get(f"/wallet/{path}", headers=headers)
        assert answer.status_code in (200, 503), path
        yield path, text_of(answer)
        refused = Client().get(f"/wallet/{path}", headers={"Authorization": "Bearer x"})
        yield f"{path} refused", text_of(refused)


def printed(folder: Path) -> Iterator[tuple[str, str]]:
    failures = folder / "failures.csv"
    for command in (
        ("sync_wallet_passes", "-n", "-v2"),
        ("sync_wallet_passes", "--json", "--failures", str(failures)),
        ("sync_wallet_passes", "--failed", "-v3"),
        ("wallet_audit",),
        ("wallet_audit", "--json"),
        ("wallet_doctor", "--online"),
        ("wallet_doctor", "--json"),
        ("wallet_status",),
        ("wallet_status", "--json"),
        ("wallet_status", "--check"),
        ("wallet_status", "--card", LoyaltyCard.objects.earliest("pk").key),
        ("install_wallet_schedule",),
        ("prune_sync_runs", "--dry-run"),
        ("check", "--deploy"),
    ):
        yield f"command {' '.join(command)}", said(*command)
    yield "file of failures", failures.read_text(encoding="utf-8")


@pytest.fixture
def cards(  # noqa: PLR0917
    google: GoogleEmulator,
    apns: ApnsEmulator,
    authority: Authority,
    configure: Configure,
    configure_apple: Callable[..., None],
    right_cards: MakeCards,
    tmp_path: Path,
) -> list[LoyaltyCard]:
    """Cards in both wallets, whose keys are in files and whose Apple key has a password."""
    account = tmp_path / "account.json"
    account.write_text(json.dumps(google.service_account))
    key = tmp_path / "apple.pem"
    plain: Any = load_pem_private_key(authority.private_key_pem, None)
    key.write_bytes(
        plain.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD.encode())
        )
    )
    configure(STATUS_TOKEN=STATUS_TOKEN, credentials=str(account))
    configure_apple(private_key=str(key), private_key_password=PASSWORD)
    made = right_cards(5)
    # So that there is a request, and a token in it, to be quoted.
    sync_wallet_passes(selection={"kind": "cards", "cards": [made[0].key]}, force=True)
    for card in made:
        register(card, push_token=PUSH_TOKEN if card is made[0] else "")
    return made


def quote(google: GoogleEmulator, card: LoyaltyCard) -> str:
    """Return what a careless provider might say of a request."""
    token = google.requests[-1].token
    key = json.dumps({"private_key": google.service_account["private_key"]})
    header = f"Authorization: Bearer {token}"
    row = iphone_pass(card)
    return (
        f"Invalid value of {ADDRESS} {header} at ?access_token={token}&x=1 {key} "
        f'{{"authenticationToken": "{row.authentication_token}", "pushToken": "{PUSH_TOKEN}"}} '
        f"ApplePass {row.authentication_token} password={PASSWORD}"
    )


def let_everything_fail(
    google: GoogleEmulator, apns: ApnsEmulator, cards: list[LoyaltyCard]
) -> None:
    said = quote(google, cards[0])
    orders = [("status", 400), ("status", 503), ("html", 200), ("redirect", 307), ("status", 403)]
    for card, (action, status) in zip(cards, orders, strict=True):
        google.misbehave(
            action,  # type: ignore[arg-type]
            object_id=card.google_object_id,
            status=status,
            reason="invalid",
            message=said,
            location=f"https://evil.example/?access_token={google.requests[-1].token}&{ADDRESS}",
        )
        card.record("earn", points=5)
    apns.fail(PUSH_TOKEN, "bad_device_token")
    apns.fail(None, "internal_server_error", times=3)
    for _ in range(2):
        sync_wallet_passes(trigger="command")
    sync_card_to_wallets(cards[1].key)
    # Not even a token is granted any more, and the token endpoint quotes what was sent.
    google.revoke_tokens()
    google.misbehave("status", endpoint="token", status=400, message=said)
    touch(card.key for card in cards)
    sync_wallet_passes(force=True)
    google.heal()


def let_phones_complain(cards: list[LoyaltyCard]) -> None:
    row = iphone_pass(cards[0])
    place = f"devices/{DEVICE}/registrations/{PASS_TYPE}/{row.remote_id}"
    lines = [
        f"Register task ({place}, Authorization: ApplePass {row.authentication_token}) encountered "
        f"error: Unexpected response code 500 for push token {PUSH_TOKEN} of {ADDRESS}",
    ]
    body = json.dumps({"logs": lines})
    root = "/wallet/apple/v1"
    Client().post(f"{root}/log", body, content_type="application/json")
    headers = {"Authorization": f"ApplePass {row.authentication_token[:-1]}"}
    Client().post(f"{root}/{place}", body, content_type="application/json", headers=headers)
    Client().post("/wallet/google/callback/", body, content_type="application/json")


def test_nothing_secret_is_anywhere(  # noqa: PLR0917
    cards: list[LoyaltyCard],
    google: GoogleEmulator,
    apns: ApnsEmulator,
    authority: Authority,
    boss: Client,
    redis_server: RedisServer,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """Of all that is planted nothing comes out, whatever fails and whoever looks."""
    caplog.set_level(logging.DEBUG)
    let_everything_fail(google, apns, cards)
    let_phones_complain(cards)
    links = [card.get_card_url() for card in cards]
    for link in links:
        Client().get(link)
        Client().get(f"{link}google/")
        Client().get(f"{link}card.pkpass")
    written = [("python", repr([get_conf(), *get_wallets().values()]))]
    written += printed(tmp_path)
    written += answers(boss)
    with broker(redis_server.url):
        cards[0].record("earn", points=1)
        url = list_url("loyaltycard")
        confirm(boss, url, ask(boss, url, [card.pk for card in cards]), force=True)
        boss.post(sync_url("loyaltycard", cards[1].pk), {"force": "on"})
        queued = list(messages(redis_server.url))
        written.append(("task", json.dumps(tasks.sync_wallet_passes(), default=str)))
    written += queued
    written += tables()
    written.append(("log", caplog.text))
    written.append(("streams", "".join(capfd.readouterr())))

    secrets = {
        "Google's key": body_of(google.service_account["private_key"]),
        "Apple's key": body_of(authority.private_key_pem),
        "the password": PASSWORD,
        "the token of the status": STATUS_TOKEN,
        "a push token": PUSH_TOKEN,
        "an address": ADDRESS.partition("@")[0],
        "a device": DEVICE,
        "the secret key": django_settings.SECRET_KEY,
        **{
            f"access token {number}": token
            for number, token in enumerate(
                {request.token for request in google.requests if request.token}
            )
        },
        **{
            f"authentication token {row.pk}": row.authentication_token
            for row in WalletPass.objects.exclude(authentication_token="")
        },
    }
    leaks = [
        (name, where)
        for where, text in written
        for name, secret in secrets.items()
        if secret in text
    ]
    assert leaks == []
    # A link opens its card: it is on the page that is behind it, and in no log.
    assert not [link for link in links if link in caplog.text]
    # What was read is what was meant: there were failures, and secrets in them.
    assert MASK in caplog.text
    assert SyncFailure.objects.filter(message__contains=MASK).count() > 3
    assert any("loyalty.sync_card" in text for _, text in queued)
    assert any("loyalty.drain_run" in text for _, text in queued)
    assert len(secrets) > 12


def test_address_as_a_key_stays_out_of_logs_and_metrics(
    settings: Settings, configure: Configure, google: GoogleEmulator, caplog: Any, boss: Client
) -> None:
    """A shop that knows its cards by e-mail address finds it in its tables and reports alone.

    The provider, the links and the log never learn it: what names a card there tells nothing.
    """
    caplog.set_level(logging.DEBUG)
    address = "ada@customer.example"
    configure(CARD_SOURCE="tests.shop.sources.MemberSource", STATUS_TOKEN=STATUS_TOKEN)
    Member.objects.create(membership_no=address, full_name="Ada")
    touch([address])
    sync_wallet_passes()
    # A level that the shop's own code does not know: the card cannot be read.
    Member.objects.update(level="?", last_visit=timezone.now())
    sync_wallet_passes()
    Member.objects.update(level="B", coffee_points=1)
    google.fail(status=400, reason="invalid", message=f"No such customer: {address}", times=1)
    sync_wallet_passes()
    sync_wallet_passes()
    row = WalletPass.objects.get()
    assert row.card_key == address
    assert row.synced_at is not None
    assert SyncFailure.objects.count() == 2
    headers = {"Authorization": f"Bearer {STATUS_TOKEN}"}
    written = [
        *((f"message {failure.pk}", failure.message) for failure in SyncFailure.objects.all()),
        *(
            (path, text_of(Client().get(f"/wallet/{path}", headers=headers)))
            for path in ("wallet-status/", "wallet-metrics/")
        ),
        ("object id", row.remote_id),
        ("requests", repr([request.path for request in google.requests])),
        ("log", caplog.text),
    ]
    assert [name for name, text in written if "ada@" in text or "ada%40" in text] == []
