"""`manage.py check`: each mistake has its id and a hint, and nothing outside is touched."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
from django.core import checks
from django.core.checks import CheckMessage
from pytest_django import DjangoAssertNumQueries, Settings

from loyalty_wallet.checks import TAG
from loyalty_wallet.emulator.google.keys import service_account

BACKEND = "loyalty_wallet.wallets.google.GoogleWallet"
# Nothing listens there: whoever calls it has gone too far.
ACCOUNT = service_account("http://127.0.0.1:9/token")
NEW_KEY = "-----BEGIN PRIVATE KEY-----\ns3cr3t\n-----END PRIVATE KEY-----\n"


def google(**options: Any) -> dict[str, Any]:
    """Return LOYALTY_WALLET with one Google wallet."""
    sound = {"issuer_id": "3388000000000000001", "credentials": ACCOUNT}
    return {"WALLETS": {"google": {"BACKEND": BACKEND, "OPTIONS": {**sound, **options}}}}


def run_checks() -> Sequence[CheckMessage]:
    return checks.run_checks(tags=[TAG])


def test_sound_settings_are_silent(settings: Settings) -> None:
    """A wallet that can be built and whose key can be read is worth no word."""
    settings.LOYALTY_WALLET = google()
    assert run_checks() == []


def test_no_wallet_is_a_warning(settings: Settings) -> None:
    """A project without a wallet starts, and is told how to get one."""
    settings.LOYALTY_WALLET = {}
    [warning] = run_checks()
    assert (warning.id, warning.level) == ("loyalty_wallet.W001", checks.WARNING)
    assert "manage.py wallet_emulator" in str(warning.hint)


@pytest.mark.parametrize(
    ("setting", "code", "words"),
    [
        (google(issuer="1"), "E002", "'issuer_id'"),
        (google(concurrency=65), "E002", "64"),
        ({"WALLETS": {"google": {"BACKEND": "nowhere.Wallet"}}}, "E002", "nowhere"),
        (google(credentials="no-such-file.json"), "E003", "not readable"),
        (google(credentials="{]"), "E003", "not JSON"),
        (google(credentials={"type": "service_account"}), "E003", "lacks client_email"),
        (google(credentials={**ACCOUNT, "private_key": NEW_KEY}), "E003", "not a PEM key"),
        (google(credentials={**ACCOUNT, "token_uri": "http://a.example/"}), "E003", "https"),
        (google() | {"CARD_SOURCE": "nowhere.Source"}, "E004", "nowhere"),
        (google() | {"CARD_SOURCE": "loyalty_wallet.cards.Card"}, "E004", "CardSource"),
        (google() | {"CARD_SOURCE": "loyalty_wallet.sources.CardSource"}, "E004", "abstract"),
    ],
)
def test_mistake_has_an_id_and_a_hint(
    settings: Settings, setting: dict[str, Any], code: str, words: str
) -> None:
    """Each kind of mistake is one error that names the cause and what to do."""
    settings.LOYALTY_WALLET = setting
    [error] = run_checks()
    assert (error.id, error.level) == (f"loyalty_wallet.{code}", checks.ERROR)
    assert words in error.msg
    assert error.hint
    assert "s3cr3t" not in f"{error.msg}{error.hint}"


def test_unknown_key_is_found(settings: Settings) -> None:
    """A misspelt key is an E001 with the nearest spelling."""
    settings.LOYALTY_WALLET = {"WALLET": {}}
    error = next(found for found in run_checks() if found.id == "loyalty_wallet.E001")
    assert "Did you mean 'WALLETS'?" in error.msg
    assert "manage.py check" in str(error.hint)


def test_one_broken_wallet_hides_no_other(settings: Settings) -> None:
    """Every wallet is checked, whatever the one before it has."""
    broken = {"BACKEND": BACKEND, "OPTIONS": {}}
    settings.LOYALTY_WALLET = {"WALLETS": {"one": broken, "two": broken}}
    messages = [error.msg for error in run_checks()]
    assert ["['one']" in messages[0], "['two']" in messages[1]] == [True, True]


@pytest.mark.django_db
def test_nothing_outside_is_touched(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    """Reading the key file is all that the checks do: no query, no socket."""

    def refuse(*args: object) -> NoReturn:
        raise AssertionError("A check has opened a socket.")

    missing = tmp_path / "missing.json"
    settings.LOYALTY_WALLET = google(credentials=missing)
    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with django_assert_num_queries(0):
        [error] = run_checks()
    assert error.id == "loyalty_wallet.E003"
    assert str(missing) in error.msg


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        ("nowhere.page", "No module named 'nowhere'"),
        ("tests.test_checks.NEW_KEY", "tests.test_checks.NEW_KEY cannot be called."),
    ],
)
def test_an_alert_handler_that_cannot_be_called_is_an_error(
    settings: Settings, handler: str, words: str
) -> None:
    """It would be found out in the first emergency otherwise."""
    settings.LOYALTY_WALLET = {**google(), "ALERT_HANDLERS": [handler, "builtins.print"]}
    [error] = run_checks()
    assert error.id == "loyalty_wallet.E005"
    assert words in error.msg
