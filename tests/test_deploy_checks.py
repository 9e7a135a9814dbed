"""`manage.py check --deploy`: what does no harm here, and some on a server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.core import checks
from django.core.checks import CheckMessage
from django.db import models
from django.utils import timezone
from pytest_django import Settings

from loyalty_wallet import tasks
from loyalty_wallet.checks import TAG
from loyalty_wallet.checks.deployment import LONGEST_TASK_SECONDS
from loyalty_wallet.emulator.apple import Authority
from tests.phonefront import apns, authority, configure_apple
from tests.shop.models import Member
from tests.shop.sources import MemberSource
from tests.shopfront import Configure, configure, google
from tests.test_checks import ACCOUNT
from tests.test_checks import google as google_settings

__all__ = ["apns", "authority", "configure", "configure_apple", "google"]

SQLITE_NOTE = "loyalty_wallet.I001"


def found(*, deploys: bool = True) -> dict[str, CheckMessage]:
    """Return what is found by its id; the note on SQLite is another test's."""
    messages = checks.run_checks(tags=[TAG], include_deployment_checks=deploys)
    return {str(message.id): message for message in messages if message.id != SQLITE_NOTE}


@pytest.fixture
def celery_conf() -> Iterator[Any]:
    conf = current_app.conf
    names = ("task_always_eager", "broker_url", "accept_content", "broker_transport_options")
    before = {name: conf[name] for name in names}
    yield conf
    conf.update(before)


@pytest.fixture
def key_file(settings: Settings, tmp_path: Path) -> Path:
    """A service-account file as it should be."""
    path = tmp_path / "service-account.json"
    settings.LOYALTY_WALLET = google_settings(credentials=str(path))

    path.write_text(json.dumps(ACCOUNT))
    path.chmod(0o600)
    return path


def test_sound_server_is_silent(key_file: Path) -> None:
    """Nothing to say of a key that only its owner may read."""
    assert found() == {}


def test_checks_of_a_server_need_the_option(configure: Configure) -> None:
    """On a developer's machine an emulator is no mistake."""
    assert found(deploys=False) == {}
    assert list(found()) == ["loyalty_wallet.W003"]


@pytest.mark.parametrize(("days", "is_told"), [(29, True), (31, False)])
def test_certificate_that_ends_soon(
    configure_apple: Callable[..., None], authority: Authority, days: int, is_told: bool
) -> None:
    """Its last month is announced by each `manage.py check`."""
    issued = authority.issue_pass_certificate(
        not_before=timezone.now() - timedelta(days=9), valid_days=9 + days
    )
    configure_apple(certificate=issued.certificate_pem, private_key=issued.private_key_pem)
    assert ("loyalty_wallet.W002" in found(deploys=False)) is is_told


@pytest.mark.parametrize(
    "option",
    [
        {"api_url": "http://127.0.0.1:8787"},
        {"api_url": "https://localhost"},
        {"callback_url": "http://[::1]/wallet/google/callback/"},
    ],
)
def test_url_of_this_machine(settings: Settings, option: dict[str, str]) -> None:
    """An emulator's address that stayed in the settings is named with its option."""
    settings.LOYALTY_WALLET = google_settings(**option)
    [name] = option
    assert name in found()["loyalty_wallet.W003"].msg


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_key_that_others_may_read(key_file: Path, mode: int) -> None:
    """The hint is the line that closes it; the key itself is in neither."""
    key_file.chmod(mode)
    [message] = found().values()
    assert message.id == "loyalty_wallet.W004"
    assert f"{mode:03o}" in message.msg
    assert message.hint == f"Run: chmod 600 {key_file}"


def test_certificate_may_be_read_by_everybody(
    configure_apple: Callable[..., None], authority: Authority, tmp_path: Path
) -> None:
    """Only where its key is in the same file does its mode matter."""
    path = tmp_path / "certificate.pem"
    path.write_bytes(authority.certificate_pem)
    path.chmod(0o644)
    configure_apple(certificate=str(path))
    assert "loyalty_wallet.W004" not in found()
    path.write_bytes(authority.private_key_pem + authority.certificate_pem)
    assert "loyalty_wallet.W004" in found()


@pytest.mark.parametrize("setting", ["STATIC_ROOT", "MEDIA_ROOT"])
def test_key_that_is_served(settings: Settings, key_file: Path, setting: str) -> None:
    """A key below a folder of the web server's is as good as published."""
    setattr(settings, setting, str(key_file.parent))
    assert list(found()) == ["loyalty_wallet.W005"]


def test_eager_tasks(settings: Settings, celery_conf: Any) -> None:
    """What is handy in tests would make customers wait for Google."""
    settings.LOYALTY_WALLET = google_settings()
    celery_conf.task_always_eager = True
    assert list(found()) == ["loyalty_wallet.W006"]


@pytest.mark.parametrize("content", ["pickle", "application/x-python-serialize", "yaml"])
def test_messages_that_run_code(settings: Settings, celery_conf: Any, content: str) -> None:
    """Messages carry ids; nothing that has to be unpickled is ours."""
    settings.LOYALTY_WALLET = google_settings()
    celery_conf.update(
        broker_url="redis://localhost/0",
        accept_content=["json", content],
        broker_transport_options={"visibility_timeout": 7200},
    )
    assert list(found()) == ["loyalty_wallet.W007"]


@pytest.mark.parametrize(
    ("url", "options", "is_told"),
    [
        ("redis://localhost/0", {"visibility_timeout": LONGEST_TASK_SECONDS}, True),
        ("redis://localhost/0", {"visibility_timeout": LONGEST_TASK_SECONDS + 1}, False),
        ("redis://localhost/0", {}, False),
        ("amqp://localhost", {"visibility_timeout": 60}, False),
    ],
)
def test_run_that_would_be_given_out_twice(
    settings: Settings, celery_conf: Any, url: str, options: dict[str, int], is_told: bool
) -> None:
    """Redis hands out a message again after its time, whether or not its task still runs."""
    settings.LOYALTY_WALLET = google_settings()
    celery_conf.update(broker_url=url, accept_content=["json"], broker_transport_options=options)
    assert ("loyalty_wallet.W008" in found()) is is_told


def test_longest_task_is_the_tasks_own_limit() -> None:
    """The figure that the check knows is the one that Celery is told."""
    assert tasks.RUN_SECONDS + 60 == LONGEST_TASK_SECONDS
    assert tasks.sync_wallet_passes.time_limit == LONGEST_TASK_SECONDS


def test_token_that_can_be_guessed(settings: Settings) -> None:
    """Its length is told, and not the token."""
    settings.LOYALTY_WALLET = {**google_settings(), "STATUS_TOKEN": "hunter2"}
    [message] = found().values()
    assert message.id == "loyalty_wallet.W009"
    assert "hunter2" not in str(message)


def test_address_as_the_key_of_cards(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would stand wherever cards are named, for good."""
    settings.LOYALTY_WALLET = {
        **google_settings(),
        "CARD_SOURCE": "tests.shop.sources.MemberSource",
    }
    monkeypatch.setattr(MemberSource, "key_field", "membership_no")
    assert found() == {}
    field = models.EmailField(name="membership_no")
    monkeypatch.setattr(Member._meta, "get_field", lambda name: field)
    [message] = found().values()
    assert message.id == "loyalty_wallet.W010"
    assert "Member.membership_no" in message.msg


def test_cache_that_counts_nothing(settings: Settings) -> None:
    """Without a counter nobody is told to wait."""
    settings.LOYALTY_WALLET = google_settings()
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
    assert list(found()) == ["loyalty_wallet.W011"]


def test_any_host(settings: Settings) -> None:
    """Links are built from requests, so hosts have to be ours."""
    settings.LOYALTY_WALLET = google_settings()
    settings.ALLOWED_HOSTS = ["shop.example", "*"]
    assert list(found()) == ["loyalty_wallet.W012"]


@pytest.mark.parametrize(
    ("admins", "timeout", "backend", "ids"),
    [
        ([], None, "smtp", ["loyalty_wallet.W013", "loyalty_wallet.W014"]),
        (["ops@example.com"], None, "smtp", ["loyalty_wallet.W014"]),
        (["ops@example.com"], 10, "smtp", []),
        (["ops@example.com"], None, "console", []),
    ],
)
def test_alarms_by_mail(
    settings: Settings, admins: list[str], timeout: int | None, backend: str, ids: list[str]
) -> None:
    """There is somebody to get them, and a server that hangs does not hold up the sync."""
    settings.LOYALTY_WALLET = google_settings()
    settings.ADMINS = admins
    settings.EMAIL_TIMEOUT = timeout
    settings.EMAIL_BACKEND = f"django.core.mail.backends.{backend}.EmailBackend"
    assert list(found()) == []
    settings.LOYALTY_WALLET = {**google_settings(), "ALERT_MAIL": True}
    assert list(found()) == ids


@pytest.mark.parametrize(
    ("engine", "is_told"),
    [("django.db.backends.sqlite3", True), ("django.db.backends.postgresql", False)],
)
def test_sqlite_is_noted(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, engine: str, is_told: bool
) -> None:
    """A note, not a warning: it is fine for a shop with one machine."""
    monkeypatch.setitem(settings.DATABASES["default"], "ENGINE", engine)
    messages = checks.run_checks(tags=[TAG], include_deployment_checks=True)
    notes = [message for message in messages if message.id == SQLITE_NOTE]
    assert bool(notes) is is_told
    assert all(note.level == checks.INFO for note in notes)
