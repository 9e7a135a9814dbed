"""The command: what it selects, prints and exits with."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from django.core.management import CommandError, call_command

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.management.commands.sync_wallet_passes import USAGE, Command
from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram, SyncRun, WalletPass
from loyalty_wallet.sync.report import report_schema
from loyalty_wallet.sync.runs import OpenRun
from tests.shopfront import Configure, balance_at

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db


def run(*args: str) -> tuple[int, str]:
    """Run the command; return its exit status and what it printed on stdout."""
    stdout = StringIO()
    try:
        call_command("sync_wallet_passes", *args, stdout=stdout, stderr=StringIO())
    except CommandError as error:
        return error.returncode, stdout.getvalue()
    return 0, stdout.getvalue()


def run_from_shell(*args: str) -> None:
    """Run the command as `manage.py` does: its parser ends the process itself."""
    command = Command()
    command._called_from_command_line = True  # type: ignore[attr-defined]
    parser = command.create_parser("manage.py", "sync_wallet_passes")
    command.handle(**vars(parser.parse_args(list(args))))


def report(*args: str) -> tuple[int, dict[str, Any]]:
    status, output = run("--json", *args)
    return status, json.loads(output)


def test_in_sync_is_zero(google: GoogleEmulator, right_cards: MakeCards) -> None:
    """0: everything is right, and a sentence says how many cards that took."""
    cards = right_cards(3)
    cards[0].record("earn", points=5)

    status, output = run()

    assert status == 0
    assert "3 cards: 1 brought up to date, 2 already right" in output
    assert balance_at(google, cards[0]) == 5


def test_some_failed_is_one(google: GoogleEmulator, right_cards: MakeCards) -> None:
    """1: what failed, why, what to do, and last a line that can be pasted to retry."""
    cards = right_cards(3)
    cards[0].record("earn", points=5)
    google.fail(object_id=cards[0].google_object_id, status=400, message="Bad colour.")

    status, output = run()

    run_id = SyncRun.objects.latest("pk").pk
    assert status == 1
    assert "1 failed" in output
    assert "rejected" in output
    assert "Bad colour." in output
    assert output.strip().splitlines()[-1].endswith(f"sync_wallet_passes --run {run_id}")
    assert run("--no-fail-on-error")[0] == 0


def test_the_retry_line_works(google: GoogleEmulator, right_cards: MakeCards) -> None:
    """Pasting it brings the failed cards up to date once the fault is gone."""
    cards = right_cards(2)
    cards[0].record("earn", points=5)
    google.fail(object_id=cards[0].google_object_id, status=400)
    _, output = run()
    google.heal()

    status, again = report(*output.strip().splitlines()[-1].split("sync_wallet_passes ")[1].split())

    assert status == 0
    assert again["cards"]["synced"] == 1
    assert report("--run", "last")[0] == 0


@pytest.mark.parametrize(
    "args",
    [
        ("--card", "1", "--all"),
        ("--failed", "--since", "2h"),
        ("--program", "tea"),
        ("--wallet", "gogle"),
        ("--run", "4711"),
        ("--run", "first"),
        ("--since", "yesterday"),
        ("--limit", "0"),
        ("--limit", "many"),
        ("--failures", "/nowhere/at/all.csv"),
        ("--enqueue", "--dry-run"),
    ],
)
def test_usage_is_two(program: LoyaltyProgram, args: tuple[str, ...]) -> None:
    """2: nothing is done, no run is put on record."""
    with pytest.raises((SystemExit, CommandError)) as ended:
        run_from_shell(*args)
    assert USAGE in {getattr(ended.value, name, None) for name in ("code", "returncode")}
    assert not SyncRun.objects.exists()


@pytest.mark.parametrize("broken", ["key", "grant"])
def test_configuration_is_three(
    google: GoogleEmulator, configure: Configure, right_cards: MakeCards, broken: str
) -> None:
    """3: no wallet could be tried; the cards stay due."""
    for card in right_cards(2):
        card.record("earn", points=5)
    if broken == "key":
        configure(credentials="/nowhere/key.json")
    else:
        configure()
        google.revoke_key()

    status, printed = report()

    assert status == 3
    assert printed["status"] == "failed"
    assert printed["cards"]["left"] == 2
    assert WalletPass.objects.due().count() == 2


def test_a_misspelt_option_is_three(configure: Configure, right_cards: MakeCards) -> None:
    """3: an unknown OPTION stops the command before it begins a run."""
    right_cards(1)
    runs = SyncRun.objects.count()
    configure(issuer="3388")
    assert run()[0] == 3
    assert SyncRun.objects.count() == runs


def test_a_token_refused_during_the_run_is_one(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """1: a 403 that the run met is a failure of the cards it met."""
    for card in right_cards(2):
        card.record("earn", points=5)
    google.deny_issuer()
    assert report()[0] == 1


def test_nothing_due_reads_no_credentials(configure: Configure, program: LoyaltyProgram) -> None:
    """0 with a broken key as long as nothing needs it."""
    configure(credentials="/nowhere/key.json")
    assert run()[0] == 0


def test_another_run_is_four(right_cards: MakeCards) -> None:
    """4: it says which run is going, and does nothing."""
    right_cards(1)
    going = OpenRun.begin(SyncRun(), is_full=True).run
    with pytest.raises(CommandError, match=f"Run {going.pk} is going") as ended:
        call_command("sync_wallet_passes", stdout=StringIO(), stderr=StringIO())
    assert ended.value.returncode == 4


@pytest.mark.django_db(transaction=True)
def test_wait_waits_for_the_other_run(
    right_cards: MakeCards, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--wait: it runs after the other one has ended."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    going = OpenRun.begin(SyncRun(), is_full=True)
    waits = []

    def end_the_other(seconds: float) -> None:
        waits.append(seconds)
        going.close(SyncRun.Status.SUCCEEDED, error="", card_counts={})

    monkeypatch.setattr("loyalty_wallet.sync.service.time.sleep", end_the_other)

    status, printed = report("--wait")

    assert status == 0
    assert len(waits) == 1
    assert printed["cards"]["synced"] == 1


def test_stopped_early_is_five(
    google: GoogleEmulator, configure: Configure, right_cards: MakeCards
) -> None:
    """5: the time was up, work is left; --limit alone never makes it."""
    for card in right_cards(20):
        card.record("earn", points=1)
    configure(concurrency=1)
    google.set_latency(0.2)

    status, printed = report("--max-seconds", "1")

    assert status == 5
    assert printed["cards"]["left"] > 0
    google.set_latency(0)
    assert report("--limit", "1")[0] == 0


def test_selectors_reach_the_sync(google: GoogleEmulator, right_cards: MakeCards) -> None:
    """Each selector does what its name says."""
    cards = right_cards(4)

    assert report("--card", cards[0].key, cards[1].key)[1]["cards"]["selected"] == 2
    assert report("--card", cards[0].key, "--card", cards[2].key)[1]["cards"]["selected"] == 2
    assert report("--all")[1]["cards"]["selected"] == 4
    assert report("--since", "2h")[1]["cards"]["selected"] == 4
    assert report("--since", "2020-01-01T00:00")[1]["cards"]["selected"] == 4
    assert report("--failed")[1]["cards"]["selected"] == 0
    assert report("--all", "--program", "coffee", "--wallet", "google")[0] == 0
    assert google.requests == []
    assert report("--card", cards[0].key, "--force")[1]["wallets"]["google"]["updated"] == 1


def test_json_has_the_published_form(right_cards: MakeCards) -> None:
    """Data on stdout, and nothing else there."""
    right_cards(1)
    status, printed = report()
    assert status == 0
    jsonschema.validate(printed, report_schema())
    assert printed["trigger"] == "command"


def test_dry_run_changes_nothing(google: GoogleEmulator, right_cards: MakeCards) -> None:
    """It counts what a run would send."""
    cards = right_cards(3)
    cards[0].record("earn", points=5)
    runs = SyncRun.objects.count()

    status, printed = report("--dry-run")

    assert status == 0
    assert printed["run_id"] is None
    assert printed["cards"]["synced"] == 1
    assert printed["wallets"]["google"]["updated"] == 1
    assert google.requests == []
    assert SyncRun.objects.count() == runs
    assert "1 to send" in run("-n")[1]
    assert report("-n", "--force")[1]["cards"]["synced"] == 3


def test_failures_are_written_as_csv(
    google: GoogleEmulator, right_cards: MakeCards, tmp_path: Path
) -> None:
    """One row per failed pass, readable by a spreadsheet."""
    cards = right_cards(3)
    for card in cards[:2]:
        card.record("earn", points=5)
        google.fail(object_id=card.google_object_id, status=400, message='He said "no", twice')
    file = tmp_path / "failures.csv"

    assert run("--failures", str(file))[0] == 1

    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [row["card_id"] for row in rows] == [cards[0].key, cards[1].key]
    assert rows[0]["code"] == "rejected"
    assert rows[0]["http_status"] == "400"
    assert rows[0]["message"] == 'He said "no", twice'


def test_enqueue_without_a_broker_says_what_to_do(right_cards: MakeCards) -> None:
    """3: nothing is queued where nobody could take it."""
    right_cards(1)
    runs = SyncRun.objects.count()
    with pytest.raises(CommandError, match="REDIS_URL") as ended:
        call_command("sync_wallet_passes", "--enqueue", stdout=StringIO())
    assert ended.value.returncode == 3
    assert SyncRun.objects.count() == runs


def test_notify_reaches_google(google: GoogleEmulator, right_cards: MakeCards) -> None:
    """Customers are told only when that is asked for."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    run()
    card.record("earn", points=5)
    run("--notify")

    silent, loud = (entry.body for entry in google.object_requests)
    assert "notifyPreference" not in silent
    assert loud["notifyPreference"] == "NOTIFY_ON_UPDATE"
