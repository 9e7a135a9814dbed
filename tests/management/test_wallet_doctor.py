"""`wallet_doctor` on one machine: from "nothing works" to the line that mends it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone
from pytest_django import Settings

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram, WalletPass
from loyalty_wallet.monitoring.doctor.setup import judge_options
from loyalty_wallet.sources import LoyaltyCardSource
from loyalty_wallet.wallets.google.wallet import API_URL
from tests.shopfront import Configure

from .examining import examine

pytestmark = pytest.mark.django_db(transaction=True)

MakeCards = Callable[[int], list[LoyaltyCard]]
ConfigureApple = Callable[..., None]

ROOT = Path(__file__).resolve().parents[2]


class SourceThatFails(LoyaltyCardSource):
    def to_card(self, row: LoyaltyCard) -> Any:
        raise KeyError("planted-secret")


def test_for_people(configure: Configure, google: GoogleEmulator) -> None:
    """A mark, what it is, the line that mends it; last whether anything is wrong."""
    configure(credentials="/srv/missing.json")
    stdout = StringIO()
    with pytest.raises(SystemExit) as error:
        call_command("wallet_doctor", stdout=stdout)
    lines = stdout.getvalue().splitlines()
    assert error.value.code == 1
    number = next(i for i, line in enumerate(lines) if "/srv/missing.json" in line)
    assert lines[number].startswith("✗ ")
    assert lines[number + 1].startswith("  → ")
    assert "things are wrong. The network was not asked: add --online" in lines[-3]
    assert lines[-2:] == [f"Begin with: {lines[number][2:]}", lines[number + 1]]
    assert google.requests == []


def test_new_machine_from_the_shell(tmp_path: Path) -> None:
    """Nothing is set up: the first line to type is named, and the exit status says so."""
    environment = {**os.environ, "DATABASE_URL": f"sqlite:///{tmp_path}/new.sqlite3"}
    done = subprocess.run(
        [sys.executable, "manage.py", "wallet_doctor"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1, done.stderr
    assert "→ manage.py migrate" in done.stdout
    assert "No wallet is configured" in done.stdout


@pytest.mark.parametrize(
    ("options", "code", "named"),
    [
        ({"credentials": "{"}, "E003", "not JSON"),
        ({"issuer_id": "shop"}, "E002", "issuer_id"),
        ({"isuer_id": "1"}, "E002", "'issuer_id'"),
        ({"requests_per_second": 50, "api_url": API_URL}, "google_rate", "50"),
    ],
)
def test_google_that_is_set_up_wrong(
    configure: Configure, options: dict[str, Any], code: str, named: str
) -> None:
    """Mistakes in the options are named as `manage.py check` names them."""
    configure(**options)
    status, bad = examine()
    assert status == 1
    assert named in bad[code]["text"]
    assert bad[code]["fix"]


def test_web_service_that_is_not_mounted(
    make_cards: MakeCards, configure_apple: ConfigureApple
) -> None:
    """Passes that send phones to a path of nobody's."""
    configure_apple(web_service_url="https://shop.example.com/passes")
    _, bad = examine()
    assert "/passes/v1/" in bad["apple_web_service"]["text"]
    configure_apple(web_service_url="https://shop.example.com/wallet/apple")
    assert "apple_web_service" not in examine()[1]


@pytest.mark.parametrize(
    ("vendor", "options", "codes"),
    [
        ("sqlite", {}, ["sqlite_mode"]),
        ("sqlite", {"transaction_mode": "IMMEDIATE"}, []),
        ("mysql", {}, []),  # Django's own default is the right one
        ("mysql", {"isolation_level": "repeatable read"}, ["isolation_level"]),
        ("mysql", {"isolation_level": None}, ["isolation_level"]),
        ("postgresql", {}, []),
    ],
)
def test_database_in_which_workers_get_in_each_others_way(
    vendor: str, options: dict[str, Any], codes: list[str]
) -> None:
    """Each with the entry of DATABASES that mends it."""
    found = list(judge_options(vendor, options))
    assert [finding.code for finding in found] == codes
    assert all("DATABASES" in finding.fix for finding in found)


def test_card_that_cannot_be_read(make_cards: MakeCards, configure: Configure) -> None:
    """The source's exception is named by its class; what it says may be about a customer."""
    make_cards(1)
    configure(CARD_SOURCE=f"{__name__}.{SourceThatFails.__name__}")
    _, bad = examine()
    assert "KeyError" in bad["cards"]["text"]
    assert "planted-secret" not in json.dumps(bad)


def test_cards_without_passes(program: LoyaltyProgram) -> None:
    """Cards that were there before the app are in no wallet until somebody says so."""
    LoyaltyCard.objects.bulk_create([LoyaltyCard(program=program, card_number="1")])
    assert "no_passes" in examine()[1]


def test_what_the_status_says(right_cards: MakeCards) -> None:
    """A card that stays wrong is told here, too, with what to do."""
    [card] = right_cards(1)
    card.record("earn", points=1)
    WalletPass.objects.update(due_at=timezone.now() - timedelta(hours=3))
    _, bad = examine()
    assert bad["oldest_due"]["fix"]


def test_doctor_sends_nobody_to_itself(right_cards: MakeCards, settings: Settings) -> None:
    """Where the status says to run the doctor, the doctor says why instead."""
    [card] = right_cards(1)
    card.record("earn", points=1)
    settings.LOYALTY_WALLET = {"WALLETS": {}}
    status, bad = examine()
    assert status == 1
    assert {"W001", "not_configured"} <= set(bad)
    assert [finding for finding in bad.values() if finding["fix"].endswith("wallet_doctor")] == []


@pytest.mark.parametrize(
    "credentials",
    [
        '{"client_email": "a@b.example", "token_uri": "https://x.example", "private_key": "planted"}',
        "-----BEGIN PRIVATE KEY-----\nplanted\n-----END PRIVATE KEY-----",
        f"planted{'x' * 300}",
        lambda: (_ for _ in ()).throw(RuntimeError("planted")),
    ],
    ids=["key that is none", "pem", "long", "callable"],
)
def test_secrets_are_shown_by_no_command(
    configure: Configure,
    configure_apple: ConfigureApple,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    credentials: Any,
) -> None:
    """However a key is wrong, and whatever is asked, it is neither printed nor logged."""
    configure(credentials=credentials, STATUS_TOKEN="planted-token", issuer_id="1")
    configure_apple(
        private_key="-----BEGIN PRIVATE KEY-----\nplanted\n-----END PRIVATE KEY-----",
        private_key_password="planted",
    )
    output = StringIO()
    for command in (
        ("wallet_doctor",),
        ("wallet_doctor", "--online", "--json"),
        ("wallet_status",),
        ("wallet_status", "--json"),
        ("wallet_status", "--check"),
    ):
        with contextlib.suppress(SystemExit):
            call_command(*command, stdout=output, stderr=output)
    printed = capsys.readouterr()
    assert "E003" in output.getvalue() or "wrong" in output.getvalue()
    for text in (output.getvalue(), caplog.text, printed.out, printed.err):
        assert "planted" not in text
