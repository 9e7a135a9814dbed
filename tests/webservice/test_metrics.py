"""`wallet-metrics/`: who may scrape, in which formats, and what happens without the library."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
import requests
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families
from pytest_django.live_server_helper import LiveServer

from loyalty_wallet.models import LoyaltyCard, WalletPass
from loyalty_wallet.webservice import metrics
from tests.shopfront import Configure

pytestmark = pytest.mark.django_db(transaction=True)

MakeCards = Callable[[int], list[LoyaltyCard]]

URL = "/wallet/wallet-metrics/"
TOKEN = "planted-status-token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def token(configure: Configure) -> None:
    configure(STATUS_TOKEN=TOKEN)


def scrape(**headers: str) -> Any:
    return Client().get(URL, headers={**BEARER, **headers})


@pytest.mark.parametrize("authorization", [None, "Bearer ", "Bearer wrong", f"Basic {TOKEN}"])
def test_strangers_learn_nothing(token: None, authorization: str | None) -> None:
    """The same rule as for the status: no token, no word."""
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = Client().get(URL, headers=headers)
    assert (answer.status_code, answer.content) == (401, b"")


@pytest.mark.parametrize(("is_staff", "status"), [(True, 200), (False, 403)])
def test_the_staff_may_look(configure: Configure, is_staff: bool, status: int) -> None:
    """With a session, without a token."""
    client = Client()
    client.force_login(User.objects.create(username="somebody", is_staff=is_staff))
    assert client.get(URL).status_code == status


def test_other_methods_are_refused(token: None) -> None:
    assert Client().post(URL, headers=BEARER).status_code == 405


def test_a_scrape_over_http(token: None, right_cards: MakeCards, live_server: LiveServer) -> None:
    """As Prometheus does it, in the format that it asks for first, read by its own parser."""
    right_cards(2)
    session = requests.Session()
    session.trust_env = False
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    answer = session.get(live_server.url + URL, headers={**BEARER, "Accept": accept}, timeout=10)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    families = {family.name: family for family in read_openmetrics(answer.text)}  # type: ignore[no-untyped-call]
    (sample,) = families["loyalty_wallet_due_passes"].samples
    assert (sample.labels, sample.value) == ({"wallet": "google"}, 0)


def test_the_plain_format_is_the_default(token: None, right_cards: MakeCards) -> None:
    """For curl, and for scrapers that know no other."""
    right_cards(1)
    answer = scrape()
    assert answer["Content-Type"].startswith("text/plain")
    assert answer["Cache-Control"] == "no-store"
    names = {family.name for family in text_string_to_metric_families(answer.content.decode())}
    assert {"loyalty_wallet_level", "loyalty_wallet_last_run_cards"} <= names


def test_nobody_is_named(token: None, right_cards: MakeCards) -> None:
    """No card, id or token: metrics end in places that many may read."""
    (card,) = right_cards(1)
    text = scrape().content.decode()
    row = WalletPass.objects.get()
    for secret in (card.card_number, row.remote_id, row.authentication_token, TOKEN):
        assert not secret or secret not in text
    labels = set(re.findall(r'(\w+)="', text))
    assert labels == {"level", "code", "wallet", "outcome", "count"}


def test_without_the_library_it_says_what_to_install(
    token: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """404 and one line; a stranger does not learn even that."""
    monkeypatch.setattr(metrics, "find_spec", lambda name: None)
    answer = scrape()
    assert answer.status_code == 404
    assert b"loyalty-wallet[prometheus]" in answer.content
    assert Client().get(URL).status_code == 401


def test_a_database_that_is_away_is_no_traceback(
    token: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503: the scrape fails, and the rules see that nothing is known."""

    def fail() -> NoReturn:
        raise OperationalError("gone")

    monkeypatch.setattr("loyalty_wallet.monitoring.metrics.read_status", fail)
    answer = scrape()
    assert answer.status_code == 503
    assert b"gone" not in answer.content
