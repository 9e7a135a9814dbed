"""`wallet-status/`: who may ask, what they learn, and that they never wait long."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, NoReturn

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, WalletPass, WalletProbe
from loyalty_wallet.sync import sync_wallet_passes
from tests.shopfront import Configure

pytestmark = pytest.mark.django_db(transaction=True)

MakeCards = Callable[[int], list[LoyaltyCard]]
ConfigureApple = Callable[..., None]

URL = "/wallet/wallet-status/"
TOKEN = "planted-status-token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def token(configure: Configure) -> None:
    configure(STATUS_TOKEN=TOKEN)


def ask(query: str = "", **headers: str) -> Any:
    return Client().get(URL + query, headers=headers or BEARER)


@pytest.mark.parametrize(
    "authorization",
    [None, "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer \xff", "\x00"],
)
def test_stranger_learns_nothing(token: None, authorization: str | None) -> None:
    """Whoever brings no token, or a wrong one, is refused without a word."""
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = Client().get(URL, headers=headers)
    assert (answer.status_code, answer.content) == (401, b"")
    assert answer["WWW-Authenticate"] == "Bearer"
    assert answer["Cache-Control"] == "no-store"


@pytest.mark.parametrize("authorization", ["Bearer", "Bearer ", f"Bearer {TOKEN}"])
def test_without_a_token_in_the_settings_none_is_right(
    configure: Configure, authorization: str
) -> None:
    """An empty setting is not a token that anybody could bring."""
    assert ask(Authorization=authorization).status_code == 401


@pytest.mark.parametrize(
    ("rights", "status"),
    [
        ({}, 403),
        ({"is_staff": True}, 200),
        ({"is_superuser": True}, 403),
        ({"is_staff": True, "is_active": False}, 401),
    ],
)
def test_session_must_be_of_the_staff(
    configure: Configure, rights: dict[str, bool], status: int
) -> None:
    """A customer who is logged in is refused; who has left the staff is a stranger."""
    client = Client()
    client.force_login(User.objects.create(username="somebody", **rights))
    answer = client.get(f"{URL}?fast=1")
    assert answer.status_code == status
    assert (answer.content == b"") is (status != 200)


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options"])
def test_it_can_only_be_read(token: None, method: str) -> None:
    """There is nothing to change here, and no form that could be forged."""
    client = Client(enforce_csrf_checks=True)
    answer = getattr(client, method)(URL, headers=BEARER)
    assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD")


def test_all_is_well(right_cards: MakeCards, configure: Configure) -> None:
    """The runbook's two answers, and what a monitor wants to know beside them."""
    right_cards(2)
    configure(STATUS_TOKEN=TOKEN)
    answer = ask()
    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
    content = answer.json()
    assert content["status"] == "ok"
    assert content["google_configured"] is True
    assert content["apple_configured"] is False
    google = content["wallets"]["google"]
    assert (google["configured"], google["reachable"], google["authorised"]) == (True, True, True)
    assert (google["publishing"], google["breaker"]) == ("approved", "closed")
    assert (google["expires_at"], google["days_left"]) == (None, None)
    assert content["last_run"]["status"] == "succeeded"
    assert content["backlog"] == {"due": 0, "failing": 0, "set_aside": 0, "oldest_seconds": None}
    assert (content["alerts"], content["problems"]) == ([], [])
    assert Client().head(URL, headers=BEARER).content == b""


def test_nothing_is_configured(settings: Settings) -> None:
    """The runbook's check for a project whose variables are missing."""
    settings.LOYALTY_WALLET = {"STATUS_TOKEN": TOKEN}
    content = ask().json()
    assert (content["google_configured"], content["apple_configured"]) == (False, False)
    assert (content["status"], content["wallets"], content["last_run"]) == ("ok", {}, None)


def test_wallet_that_cannot_be_built_is_configured_all_the_same(
    token: None, configure_apple: ConfigureApple
) -> None:
    """Its variables are there; that one of them is wrong is told apart."""
    configure_apple(nonsense=True)
    content = ask().json()
    assert content["apple_configured"] is True
    assert content["wallets"]["apple"]["usable"] is False
    assert content["status"] == "degraded"


def test_certificate_has_a_date(token: None, configure_apple: ConfigureApple) -> None:
    """A monitor can warn of the certificate's end by itself."""
    configure_apple()
    apple = ask().json()["wallets"]["apple"]
    assert apple["days_left"] > 300
    assert apple["expires_at"] > timezone.now().isoformat()
    assert apple["publishing"] == "not_needed"


def test_down_is_503(right_cards: MakeCards, configure: Configure) -> None:
    """A monitor that looks at the status code alone is woken."""
    [card] = right_cards(1)
    configure(STATUS_TOKEN=TOKEN, credentials="missing.json")
    card.record("earn", points=1)
    WalletPass.objects.update(due_at=timezone.now() - timedelta(hours=3))
    answer = ask()
    assert (answer.status_code, answer.json()["status"]) == (503, "down")
    assert answer.json()["backlog"]["oldest_seconds"] == pytest.approx(3 * 3600, abs=60)


@pytest.mark.parametrize("mistake", [{"WALETS": {}}, {"WORKERS": "many"}, {"WALLETS": []}])
def test_settings_that_make_no_sense_are_503(settings: Settings, mistake: dict[str, Any]) -> None:
    """The token is still known, and a monitor learns that nothing works."""
    settings.LOYALTY_WALLET = {"STATUS_TOKEN": TOKEN, **mistake}
    answer = ask()
    assert (answer.status_code, answer.json()["status"]) == (503, "down")
    assert answer.json()["problems"][0]["code"] == "settings"
    assert ask(Authorization="Bearer wrong").status_code == 401


@pytest.mark.parametrize("token", [None, 4711, ["x"]])
def test_token_that_is_none_lets_nobody_in(settings: Settings, token: Any) -> None:
    """What is no text cannot be brought, and breaks nothing."""
    settings.LOYALTY_WALLET = {"STATUS_TOKEN": token}
    assert ask(Authorization="Bearer None").status_code == 401


def test_database_that_is_away_is_503(token: None) -> None:
    """Without its database the app can do nothing, and says so instead of breaking."""

    def refuse(*args: Any) -> NoReturn:
        raise OperationalError("planted: the database at db.internal is away")

    with connection.execute_wrapper(refuse):
        answer = ask()
    assert (answer.status_code, answer.json()["status"]) == (503, "down")
    assert b"planted" not in answer.content


def test_fast_asks_nobody(token: None, google: GoogleEmulator) -> None:
    """For a load balancer: the tables alone, with what the last probe found."""
    assert ask("?fast=1").json()["wallets"]["google"]["reachable"] is None
    assert google.requests == []
    ask()
    assert ask("?fast=1").json()["wallets"]["google"]["reachable"] is True


def test_crowd_of_monitors_costs_google_one_request(token: None, google: GoogleEmulator) -> None:
    """What was found serves for a minute."""
    for _ in range(5):
        ask()
    assert len(google.class_requests) == 1


@pytest.fixture
def silent_apns() -> Iterator[str]:
    """Takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"


def test_nobody_waits_for_a_provider_that_hangs(
    token: None, google: GoogleEmulator, configure_apple: ConfigureApple, silent_apns: str
) -> None:
    """Google's token endpoint and APNs both hang for ever: the answer comes, and says unknown."""
    configure_apple(apns_url=silent_apns, timeout_seconds=60)
    google.misbehave("hang", endpoint="token")
    answers: list[Any] = []

    def wait_for_answer() -> None:
        answers.append(ask())
        connection.close()

    thread = threading.Thread(target=wait_for_answer)
    thread.start()
    # Each wallet by itself would wait for 10 s, or for 60 s.
    thread.join(8)
    assert not thread.is_alive()
    [answer] = answers
    wallets = answer.json()["wallets"]
    assert answer.status_code == 200
    for alias in ("google", "apple"):
        assert (wallets[alias]["reachable"], wallets[alias]["publishing"]) == (None, "unknown")


def test_names_ids_and_secrets_stay_here(
    right_cards: MakeCards, google: GoogleEmulator, configure_apple: ConfigureApple
) -> None:
    """Whatever is wrong: no card, id, path, e-mail or key is in the answer."""
    cards = right_cards(2)
    account = google.service_account
    google.deny_issuer()
    google.fail(
        status=403, message=f"{account['client_email']} /srv/planted.json Bearer ya29.planted"
    )
    configure_apple(certificate="/srv/planted-path.pem")
    django_settings.LOYALTY_WALLET["STATUS_TOKEN"] = TOKEN
    configure_apple(certificate="/srv/planted-path.pem")
    for card in cards:
        card.record("earn", points=1)
    sync_wallet_passes()
    answer = ask()
    assert answer.json()["wallets"]["google"]["authorised"] is False
    assert WalletProbe.objects.get().code == "forbidden"
    text = answer.content.decode()
    secrets = [
        "planted",
        "/srv",
        "@",
        account["client_email"],
        account["private_key"][40:80],
        google.issuer_id,
        cards[0].google_object_id,
        cards[0].card_number,
        "pass.com",
    ]
    assert [secret for secret in secrets if secret in text] == []
    assert json.loads(text)["status"] != "ok"
