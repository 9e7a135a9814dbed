"""`wallet_status`: everything at a glance, one card in depth, one line for Nagios."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any, NoReturn

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, SyncAlert, SyncRun, WalletPass
from loyalty_wallet.monitoring.probes import run_probes
from loyalty_wallet.sync import sync_wallet_passes
from tests.phonefront import apns, authority, configure_apple, iphone_pass, register
from tests.shopfront import Configure

__all__ = ["apns", "authority", "configure_apple"]

pytestmark = pytest.mark.django_db(transaction=True)

MakeCards = Callable[[int], list[LoyaltyCard]]

ROOT = Path(__file__).resolve().parents[2]


def run(*args: str) -> tuple[int, str]:
    """Run the command; return its exit status and what it printed on stdout."""
    stdout = StringIO()
    try:
        call_command("wallet_status", *args, stdout=stdout)
    except CommandError as error:
        return error.returncode, str(error)
    except SystemExit as error:
        return int(error.code or 0), stdout.getvalue()
    return 0, stdout.getvalue()


def let_it_be_down(card: LoyaltyCard | None = None) -> None:
    """Let five hours pass without a run; if there is a card, it is wrong all the while."""
    if card is not None:
        card.record("earn", points=1)
    before = timezone.now() - timedelta(hours=5)
    WalletPass.objects.filter(due_at__isnull=False).update(due_at=before)
    SyncRun.objects.update(started_at=before, finished_at=before)


def test_all_is_well(right_cards: MakeCards, configure_apple: Callable[..., None]) -> None:
    """The first line says so; then each wallet with what is known of it."""
    right_cards(2)
    run_probes()
    status, output = run()
    lines = output.splitlines()
    assert (status, lines[0]) == (0, "All is well: every card is right.")
    assert lines[2].split() == ["google", "apple"]
    [publishing] = [line for line in lines if "publishing" in line]
    assert "approved" in publishing
    assert "not needed" in publishing
    assert "Last run: Run" in output
    assert "No broker" in output


def test_what_is_wrong_comes_first_with_its_remedy(right_cards: MakeCards) -> None:
    """Who is woken reads three lines and knows what to type."""
    [card] = right_cards(1)
    card.record("earn", points=1)
    let_it_be_down()
    _, output = run()
    lines = output.splitlines()
    assert lines[0] == "Customers see wrong cards, or nothing can be delivered."
    assert lines[1] == "✗ No sync has succeeded for 5 h (limit 2 h)."
    assert "manage.py sync_wallet_passes" in lines[2]


def test_a_card_that_failed_is_not_said_to_be_on_its_way(
    right_cards: MakeCards, google: GoogleEmulator
) -> None:
    """One of many raises no alarm, but the first line does not call that well."""
    card, *_ = right_cards(30)
    card.record("earn", points=1)
    google.fail(object_id=card.google_object_id, status=400)
    sync_wallet_passes()
    _, output = run()
    assert output.splitlines()[0].startswith("Customers see wrong balances: 1 card, for ")


def test_json_names_what_monitors_may_not_know(configure: Configure) -> None:
    """On the operator's own terminal the path that is wrong may be read."""
    configure(credentials="/srv/missing.json")
    status, output = run("--json")
    content = json.loads(output)
    assert status == 0
    assert content["google_configured"] is True
    texts = [problem["text"] for problem in content["problems"]]
    assert any("/srv/missing.json" in text for text in texts)


@pytest.mark.parametrize(
    ("arrange", "status", "word"),
    [
        (lambda card: None, 0, "OK"),
        (lambda card: SyncRun.objects.update(status="failed"), 0, "OK"),
        (lambda card: let_it_be_down(), 1, "WARNING"),
        (lambda card: let_it_be_down(card), 2, "CRITICAL"),
    ],
    ids=["well", "failed just now", "no run, nothing due", "no run, card due"],
)
def test_check_prints_one_line_and_exits_as_nagios_wants(
    right_cards: MakeCards, arrange: Callable[[LoyaltyCard], Any], status: int, word: str
) -> None:
    """The state, the reasons, and figures behind a bar, all on one line."""
    [card] = right_cards(1)
    arrange(card)
    code, output = run("--check")
    [line] = output.splitlines()
    text, _, figures = line.partition(" | ")
    assert (code, text.split(" - ")[0]) == (status, f"WALLET {word}")
    names = [figure.partition("=")[0] for figure in figures.split()]
    assert names == ["due", "failing", "set_aside", "oldest"]


def test_check_without_a_database_is_unknown(tmp_path: Path) -> None:
    """A check that cannot look says UNKNOWN and 3, whatever it is that is broken."""
    environment = {**os.environ, "DATABASE_URL": f"sqlite:///{tmp_path}/none/db.sqlite3"}
    done = subprocess.run(
        [sys.executable, "manage.py", "wallet_status", "--check"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 3, done.stderr
    assert done.stdout.startswith("WALLET UNKNOWN - OperationalError")
    assert len(done.stdout.splitlines()) == 1


def test_check_settles_the_alarms(right_cards: MakeCards) -> None:
    """Where cron calls it, nobody else notices that no run ends any more."""
    (card,) = right_cards(1)
    let_it_be_down(card)
    run("--check")
    codes = SyncAlert.objects.open().values_list("code", flat=True)
    assert set(codes) == {"no_recent_success", "oldest_due"}
    sync_wallet_passes()
    run("--check")
    assert not SyncAlert.objects.open().exists()


def test_without_tables_it_says_what_to_run(configure: Configure) -> None:
    """A database that cannot be read is no traceback."""

    def refuse(*args: Any) -> NoReturn:
        raise OperationalError("no such table")

    with connection.execute_wrapper(refuse):
        status, output = run()
    assert status == 3
    assert "manage.py wallet_doctor" in output


def test_check_takes_no_card(configure: Configure) -> None:
    """A mistake in the monitor's command line must not look like OK."""
    assert run("--check", "4711")[0] == 3


def test_card_that_is_wrong(right_cards: MakeCards, google: GoogleEmulator) -> None:
    """What it should show, what was delivered, why not more, and the line that sends it again."""
    [card] = right_cards(1)
    card.record("earn", points=7)
    google.fail(status=400, object_id=card.google_object_id, message="planted reason")
    sync_wallet_passes()
    status, output = run(card.card_number)
    assert status == 0
    assert "google: wrong" in output
    assert "planted reason" in output
    [points] = [line.split() for line in output.splitlines() if "≠" in line]
    assert points == ["≠", "Points", "7", "0"]
    assert f"manage.py sync_wallet_passes --card {card.key}" in output


def test_card_on_its_way_to_an_iphone(
    right_cards: MakeCards, configure_apple: Callable[..., None]
) -> None:
    """Pushed, and not fetched yet: nothing has to be done."""
    [card] = right_cards(1)
    register(card)
    card.record("earn", points=7)
    sync_wallet_passes()
    _, output = run(card.key)
    assert "apple: on its way" in output
    assert "✓ pushed" in output
    assert "✗ fetched" in output
    assert "google: right" in output
    assert "sync_wallet_passes" not in output


@pytest.mark.parametrize(
    "name",
    [
        lambda card: card.key,
        lambda card: card.card_number,
        lambda card: card.google_object_id,
        lambda card: iphone_pass(card).remote_id,
    ],
    ids=["key", "number", "object id", "serial number"],
)
def test_card_by_any_of_its_names(
    right_cards: MakeCards,
    configure_apple: Callable[..., None],
    name: Callable[[LoyaltyCard], str],
) -> None:
    """Whatever the person at hand reads to us from a card, a log or a console finds it."""
    _, card = right_cards(2)
    _, output = run(name(card), "--json")
    content = json.loads(output)
    assert content["card_id"] == card.key
    assert {alias: pass_["verdict"] for alias, pass_ in content["wallets"].items()} == {
        "apple": "right",
        "google": "right",
    }
    token = iphone_pass(card).authentication_token
    assert token
    assert token not in output


def test_card_that_does_not_exist(configure: Configure) -> None:
    """A mistyped number is said to be one."""
    status, output = run("no-such-card")
    assert status == 2
    assert "no-such-card" in output


def test_card_without_a_pass(right_cards: MakeCards) -> None:
    """A card in no wallet is no error."""
    [card] = right_cards(1)
    WalletPass.objects.all().delete()
    status, output = run(card.key)
    assert status == 0
    assert "It is in no wallet" in output
