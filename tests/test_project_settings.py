"""The reference project understands its environment, and runs with none."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from project import celery_app
from tests.servers import RedisServer

ROOT = Path(__file__).resolve().parent.parent
GOOGLE = {"GOOGLE_WALLET_ISSUER_ID": "3388000000012345678", "GOOGLE_WALLET_CREDENTIALS": "key.json"}

APPLE = {
    "APPLE_WALLET_PASS_TYPE_IDENTIFIER": "pass.com.example.loyalty",
    "APPLE_WALLET_TEAM_IDENTIFIER": "ABCDE12345",
    "APPLE_WALLET_CERTIFICATE": "certificate.pem",
    "APPLE_WALLET_WEB_SERVICE_URL": "https://shop.example.com/wallet/apple",
}


def load(monkeypatch: pytest.MonkeyPatch, **environment: str) -> dict[str, Any]:
    """The settings as a fresh process with this environment, and nothing else, has them."""
    for name in list(os.environ):
        if name.startswith(("APPLE_", "DATABASE_", "DJANGO_", "GOOGLE_", "REDIS_")):
            monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return runpy.run_path(str(ROOT / "project" / "settings.py"))


def test_empty_environment_is_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no variable: no debug pages, a key nobody knows, SQLite, no broker and no wallet."""
    settings = load(monkeypatch)
    assert settings["DEBUG"] is False
    assert settings["SECRET_KEY"] != load(monkeypatch)["SECRET_KEY"]
    assert settings["ALLOWED_HOSTS"] == ["localhost", "127.0.0.1"]
    assert settings["DATABASES"]["default"]["NAME"] == ROOT / "db.sqlite3"
    assert settings["CELERY_BROKER_URL"] is None
    assert settings["LOYALTY_WALLET"] == {"WALLETS": {}}


@pytest.mark.parametrize("broker", ["", "redis://127.0.0.1:6379/0"])
def test_no_task_ever_runs_inside_a_request(monkeypatch: pytest.MonkeyPatch, broker: str) -> None:
    """Eager mode is never set, with or without a broker."""
    settings = load(monkeypatch, REDIS_URL=broker)
    assert [name for name in settings if name.startswith("CELERY_") and "EAGER" in name] == []


@pytest.mark.parametrize(
    ("text", "expected"), [("1", True), ("True", True), ("on", True), ("0", False), ("no", False)]
)
def test_debug_is_a_flag(monkeypatch: pytest.MonkeyPatch, text: str, expected: bool) -> None:
    """DJANGO_DEBUG takes the usual words for yes and no."""
    assert load(monkeypatch, DJANGO_DEBUG=text)["DEBUG"] is expected


@pytest.mark.parametrize(
    ("name", "value"),
    [("DJANGO_DEBUG", "maybe"), ("GOOGLE_WALLET_REQUESTS_PER_SECOND", "fast")],
)
def test_nonsense_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """A value that makes no sense stops the start and names its variable."""
    with pytest.raises(ImproperlyConfigured, match=name):
        load(monkeypatch, **GOOGLE, **{name: value})


@pytest.mark.parametrize(
    ("hosts", "debug", "is_secure"),
    [
        ("", "0", False),
        ("wallet.example.com", "0", True),
        ("localhost,wallet.example.com", "0", True),
        ("wallet.example.com", "1", False),
    ],
)
def test_cookies_are_secure_where_others_reach_the_project(
    monkeypatch: pytest.MonkeyPatch, hosts: str, debug: str, is_secure: bool
) -> None:
    """On loopback there is no TLS and a secure cookie would lock everybody out."""
    settings = load(monkeypatch, DJANGO_ALLOWED_HOSTS=hosts, DJANGO_DEBUG=debug)
    assert settings["SESSION_COOKIE_SECURE"] is is_secure
    assert settings["CSRF_COOKIE_SECURE"] is is_secure


@pytest.mark.parametrize("missing", sorted(GOOGLE))
def test_half_configured_google_is_not_configured(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """Google needs both its issuer and its key; with one of them nothing breaks."""
    settings = load(monkeypatch, **{**GOOGLE, missing: ""})
    assert settings["LOYALTY_WALLET"]["WALLETS"] == {}


def test_google_takes_its_options_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Optional variables become options only when they are set."""
    options = load(monkeypatch, **GOOGLE)["LOYALTY_WALLET"]["WALLETS"]["google"]["OPTIONS"]
    assert options == {
        "issuer_id": "3388000000012345678",
        "credentials": "key.json",
        "requests_per_second": 20.0,
    }
    more = {
        "GOOGLE_WALLET_API_URL": "http://127.0.0.1:8089",
        "GOOGLE_WALLET_REQUESTS_PER_SECOND": "7.5",
        "GOOGLE_WALLET_SAVE_URL": "http://127.0.0.1:8089/gp/v/save/",
    }
    options = load(monkeypatch, **GOOGLE, **more)["LOYALTY_WALLET"]["WALLETS"]["google"]["OPTIONS"]
    assert options["api_url"] == "http://127.0.0.1:8089"
    assert options["requests_per_second"] == 7.5
    assert options["save_url"] == "http://127.0.0.1:8089/gp/v/save/"
    more["GOOGLE_WALLET_REQUESTS_PER_SECOND"] = "none"
    options = load(monkeypatch, **GOOGLE, **more)["LOYALTY_WALLET"]["WALLETS"]["google"]["OPTIONS"]
    assert options["requests_per_second"] is None


@pytest.mark.parametrize("missing", sorted(APPLE))
def test_half_configured_apple_is_not_configured(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """Without one of the four there is no Apple wallet, and Google is as it was."""
    settings = load(monkeypatch, **GOOGLE, **{**APPLE, missing: ""})
    assert list(settings["LOYALTY_WALLET"]["WALLETS"]) == ["google"]


def test_apple_takes_its_options_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Key and intermediate may be missing: a PKCS#12 file has them with the certificate."""
    options = load(monkeypatch, **APPLE)["LOYALTY_WALLET"]["WALLETS"]["apple"]["OPTIONS"]
    assert options == {
        "pass_type_identifier": "pass.com.example.loyalty",
        "team_identifier": "ABCDE12345",
        "certificate": "certificate.pem",
        "web_service_url": "https://shop.example.com/wallet/apple",
    }
    more = {"APPLE_WALLET_PRIVATE_KEY": "key.pem", "APPLE_WALLET_APNS_CA": "root.pem"}
    options = load(monkeypatch, **APPLE, **more)["LOYALTY_WALLET"]["WALLETS"]["apple"]["OPTIONS"]
    assert (options["private_key"], options["apns_ca"]) == ("key.pem", "root.pem")


def test_redis_is_broker_and_shared_rate_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """One variable for both: all processes book their requests in the broker's Redis."""
    url = "redis://127.0.0.1:6379/0"
    settings = load(monkeypatch, REDIS_URL=url)
    assert settings["CELERY_BROKER_URL"] == url
    assert settings["LOYALTY_WALLET"]["RATE_LIMIT_REDIS_URL"] == url


def test_each_database_gets_what_the_sync_relies_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite locks early and waits; MySQL is strict and does not lock gaps; the URL wins."""

    def options(url: str) -> dict[str, Any]:
        database = load(monkeypatch, DATABASE_URL=url)["DATABASES"]["default"]
        return dict(database["OPTIONS"])

    assert options("sqlite:///other.sqlite3")["transaction_mode"] == "IMMEDIATE"
    mysql = options("mysql://root@127.0.0.1:3306/loyalty")
    assert mysql["isolation_level"] == "read committed"
    assert mysql["charset"] == "utf8mb4"
    assert options("postgresql://127.0.0.1/loyalty?sslmode=require") == {"sslmode": "require"}


def test_relative_sqlite_file_is_the_same_from_every_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A worker that is started elsewhere opens the same file as the web server."""
    monkeypatch.chdir(tmp_path)
    name = load(monkeypatch, DATABASE_URL="sqlite:///db.sqlite3")["DATABASES"]["default"]["NAME"]
    assert name == ROOT / "db.sqlite3"


@pytest.mark.django_db
def test_root_leads_to_the_admin(client: Client) -> None:
    """Whoever opens the bare address lands at the login, dressed in its styles."""
    response = client.get("/", follow=True)
    assert response.redirect_chain[-1][0].startswith("/admin/login/")
    styles = client.get("/static/admin/css/base.css")
    assert styles.status_code == 200
    styles.close()


@pytest.mark.django_db
@pytest.mark.parametrize(("language", "word"), [("fr", "Mot de passe"), ("de", "Passwort")])
def test_admin_speaks_the_language_of_the_browser(client: Client, language: str, word: str) -> None:
    """English, French and German are offered."""
    response = client.get("/admin/login/", headers={"accept-language": language})
    assert word in response.content.decode()


@pytest.mark.database
def test_runbook_call_reaches_the_queue(redis_server: RedisServer) -> None:
    """`celery -A project call` leaves one message with REDIS_URL as the broker."""
    result = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "project", "call", "loyalty.sync_wallet_passes"],
        cwd=ROOT,
        env={**os.environ, "REDIS_URL": redis_server.url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    with redis.Redis.from_url(redis_server.url) as broker:
        assert broker.llen("celery") == 1
        broker.flushall()


def test_without_redis_nothing_is_enqueued_anywhere() -> None:
    """No message goes to a broker that happens to listen at Celery's default address."""
    with pytest.raises(ImproperlyConfigured, match="REDIS_URL"):
        celery_app.send_task("loyalty.sync_wallet_passes")
