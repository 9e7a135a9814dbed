"""What `sync_wallet_passes` shows people: sentence, causes and remedies, a line to paste, an outlook."""

from __future__ import annotations

import io
import os
import shlex
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from rich.console import Console

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.management import terminal
from loyalty_wallet.management.arguments import line_to_go_on
from loyalty_wallet.management.commands.sync_wallet_passes import Command
from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram, SyncRun, WalletPass
from loyalty_wallet.sync import Selection
from loyalty_wallet.sync.runs import OpenRun
from tests.phonefront import register
from tests.shopfront import Configure, balance_at

from .test_sync_wallet_passes import report, run

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db


def lines(output: str) -> list[str]:
    return [line.rstrip() for line in output.splitlines() if line.strip()]


def break_some(google: GoogleEmulator, cards: list[LoyaltyCard]) -> None:
    """Let three cards change; one is refused, two meet a server in trouble."""
    for card in cards[:3]:
        card.record("earn", points=5)
    google.fail(object_id=cards[0].google_object_id, status=400, message="Bad colour.")
    for card in cards[1:3]:
        google.fail(object_id=card.google_object_id, status=503)


def test_sentence_causes_and_a_line_to_paste(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """First what became of how many, then each code with why and what to do, last the line."""
    cards = right_cards(4)
    break_some(google, cards)

    status, output = run()

    shown = lines(output)
    run_id = SyncRun.objects.latest("pk").pk
    assert status == 1
    assert shown[0].startswith(f"Run {run_id}: 4 cards: 1 already right, 3 failed (")
    first, second = (
        next(number for number, line in enumerate(shown) if f" {code} " in line)
        for code in ("unavailable", "rejected")
    )
    assert first < second, "the most frequent one comes first"
    assert shown[first].split()[0] == "2"
    block = " ".join(" ".join(shown[second:]).split())
    assert "The provider refused what was sent and would refuse it again." in block
    assert "“Bad colour.” → Correct the card or program data" in block
    assert f"Cards: {cards[0].key}" in block
    assert "Alert: 75.0 % of the cards failed (limit 5 %)." in shown
    assert shown[-1] == f"python manage.py sync_wallet_passes --run {run_id}"


def test_a_narrow_terminal_gets_no_table(
    google: GoogleEmulator, right_cards: MakeCards, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 40 columns each code has its block, nothing is cut, and the line to paste stays whole."""
    break_some(google, right_cards(3))
    monkeypatch.setattr(terminal, "PIPE_WIDTH", 40)

    shown = lines(run()[1])

    assert "2 × unavailable" in shown  # noqa: RUF001
    assert all(len(line) <= 40 for line in shown[1:-1])
    assert "…" not in "".join(shown)
    assert shown[-1].startswith("python manage.py sync_wallet_passes --run ")


def test_what_cannot_be_tried_has_its_remedy(
    google: GoogleEmulator, configure: Configure, right_cards: MakeCards
) -> None:
    """A revoked key: nothing failed one by one, so the reason of the stop is explained."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    configure()
    google.revoke_key()

    status, output = run()

    shown = lines(output)
    assert status == 3
    assert "1 left" in shown[0]
    assert shown[1].startswith("google: unauthorized: ")
    assert "→ Create a new key for the service account" in output
    assert shown[-1] == "python manage.py sync_wallet_passes"


def test_on_a_command_line_nothing_follows_the_line_to_paste(
    google: GoogleEmulator, right_cards: MakeCards, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit status tells that cards failed; Django's own line about it would come last."""
    break_some(google, right_cards(3))
    command = Command()
    command._called_from_command_line = True  # type: ignore[attr-defined]
    parser = command.create_parser("manage.py", "sync_wallet_passes")
    with pytest.raises(SystemExit) as ended:
        command.execute(**vars(parser.parse_args([])))
    assert ended.value.code == 1
    captured = capsys.readouterr()
    assert lines(captured.out)[-1].startswith("python manage.py sync_wallet_passes --run ")
    assert "CommandError" not in captured.err


def test_an_old_encoding_breaks_nothing(google: GoogleEmulator, right_cards: MakeCards) -> None:
    """A terminal without arrows gets question marks, not a traceback after the sync."""
    break_some(google, right_cards(3))
    raw = io.BytesIO()
    stdout = io.TextIOWrapper(raw, encoding="latin-1")
    with pytest.raises(CommandError):
        call_command("sync_wallet_passes", stdout=stdout, stderr=io.StringIO())
    stdout.flush()
    assert b"? Correct the card or program data" in raw.getvalue()


def test_keys_come_from_standard_input(
    google: GoogleEmulator, right_cards: MakeCards, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One a line, of any kind, beside others on the command line."""
    cards = right_cards(4)
    text = f"{cards[0].key}\n\n  {cards[1].card_number}  \n{cards[2].google_object_id}\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert report("--card", "-", cards[3].key)[1]["cards"]["selected"] == 4


def test_standard_input_without_a_key_is_an_error(
    right_cards: MakeCards, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe that broke must not look like a sync that had nothing to do."""
    right_cards(1)
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    with pytest.raises(CommandError, match="standard input names no card") as ended:
        call_command("sync_wallet_passes", "--card", "-", stdout=io.StringIO())
    assert ended.value.returncode == 2


def test_a_dry_run_shows_each_field_that_differs(
    google: GoogleEmulator, right_cards: MakeCards, program: LoyaltyProgram
) -> None:
    """By its name, before and after, for as many cards as asked for; a new card has no before."""
    first, second, third = right_cards(3)
    LoyaltyCard.objects.filter(pk=first.pk).update(holder_name="Ada Adler")
    first.record("earn", points=7)
    second.record("earn", points=1)
    third.record("earn", points=1)

    output = run("-n", "--differences", "2")[1]

    shown = lines(output)
    assert shown[0] == "Dry run: 3 cards: 3 to send. Nothing was sent or written."
    assert f"{first.card_number} Ada Adler (card {first.key}) in google" in shown
    assert "  Points: 0 → 7" in shown
    assert "  Name: Ada Adler" in shown
    assert "… and 1 more card; --differences 3 shows it, too." in shown
    assert f"(card {third.key})" not in output
    assert google.requests == []

    LoyaltyCard.objects.create(program=program, card_number="N-1")
    output = run("-n", "--differences", "9")[1]
    assert "in google: new" in output
    assert "  Card number: N-1" in lines(output)
    assert "(card" not in run("-n", "--differences", "0")[1]


def test_a_dry_run_says_how_long_and_what_it_cannot_know(
    configure: Configure, make_cards: MakeCards
) -> None:
    """At the wallet's limit, two requests for a new card; and no more is promised than is known."""
    make_cards(100)
    configure(requests_per_second=2)
    shown = lines(run("-n")[1])
    assert shown[1] == "google: 100 passes, 200 requests: at least 1 min 40 s at 2 a second."
    assert any("what the providers really have" in line for line in shown)
    configure(requests_per_second=None)
    assert "100 passes, 200 requests; no rate limit is set" in run("-n")[1]


def test_a_dry_run_counts_phones_once(
    configure_apple: Callable[..., None], right_cards: MakeCards
) -> None:
    """A phone that holds two changed cards is told once."""
    cards = right_cards(3)
    register(*cards[:2])
    register(cards[2])
    for card in cards:
        card.record("earn", points=1)
    assert "apple: 3 passes, 2 phones to tell; no rate limit" in run("-n")[1]


def test_a_dry_run_tells_what_would_fail(right_cards: MakeCards) -> None:
    """Before anything is sent, with the same causes and remedies."""
    (card,) = right_cards(1)
    card.record("earn", points=2**40)
    status, output = run("-n")
    assert status == 1
    assert "1 card: nothing to send, 1 would fail" in output
    assert "does not fit in 32 bits" in output


@contextmanager
def interrupted(*moments: float) -> Iterator[None]:
    """Press Ctrl-C so many seconds after the beginning."""
    timers = [
        threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)) for seconds in moments
    ]
    for timer in timers:
        timer.start()
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()


def test_ctrl_c_says_what_is_done_and_what_is_left(
    google: GoogleEmulator, configure: Configure, right_cards: MakeCards
) -> None:
    """What was begun is recorded; the counts add up; the line goes on with the rest."""
    cards = right_cards(12)
    for card in cards:
        card.record("earn", points=5)
    configure(concurrency=1)
    google.set_latency(0.3)

    with interrupted(0.8):
        status, output = run()

    left = WalletPass.objects.due().count()
    shown = lines(output)
    assert status == 5
    assert 0 < left < 12
    assert f"12 cards: {12 - left} brought up to date, {left} left" in shown[0]
    google.set_latency(0)
    arguments = shlex.split(shown[-1])
    assert arguments[:3] == ["python", "manage.py", "sync_wallet_passes"]
    assert run(*arguments[3:])[0] == 0
    assert {balance_at(google, card) for card in cards} == {5}


def test_a_second_ctrl_c_stops_at_once_and_hides_nothing(
    google: GoogleEmulator, configure: Configure, right_cards: MakeCards
) -> None:
    """It says what is on record and that the rest may have arrived; the cards stay due."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    configure(timeout_seconds=9)
    google.misbehave("hang", object_id=card.google_object_id)
    began = time.monotonic()

    with interrupted(0.5, 1.0), pytest.raises(CommandError) as ended:
        call_command("sync_wallet_passes", stdout=io.StringIO(), stderr=io.StringIO())

    said = str(ended.value)
    run_id = SyncRun.objects.latest("pk").pk
    assert ended.value.returncode == 5
    assert said.startswith(f"Run {run_id} was stopped at once. On record: 0 cards up to date")
    assert "may have arrived or not" in said
    assert said.splitlines()[-1] == "python manage.py sync_wallet_passes"
    assert SyncRun.objects.get(pk=run_id).status == "interrupted"
    assert WalletPass.objects.due().count() == 1
    assert time.monotonic() - began < 8


def test_ctrl_c_within_sqlite_is_still_ctrl_c(
    right_cards: MakeCards, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite makes a database error of an interrupt that meets a function of its own."""
    if connection.vendor != "sqlite":
        pytest.skip("Other databases call no Python.")

    def press_twice(**_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        connection.ensure_connection()
        connection.connection.create_function(
            "press", 0, lambda: os.kill(os.getpid(), signal.SIGINT)
        )
        with connection.cursor() as cursor:
            cursor.execute("SELECT press()")

    monkeypatch.setattr(f"{Command.__module__}.sync_wallet_passes", press_twice)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(CommandError, match="Stopped before anything was sent") as ended:
        call_command("sync_wallet_passes", stdout=io.StringIO(), stderr=io.StringIO())
    assert ended.value.returncode == 5
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_while_waiting_for_another_run(right_cards: MakeCards) -> None:
    """Nothing was begun, so nothing is left to go on with; and no card is said to be fine."""
    right_cards(1)
    OpenRun.begin(SyncRun(), is_full=True)
    stdout = io.StringIO()
    with (
        interrupted(0.3),
        pytest.raises(CommandError, match="Stopped while it waited") as ended,
    ):
        call_command("sync_wallet_passes", "--wait", stdout=stdout, stderr=io.StringIO())
    assert ended.value.returncode == 5
    assert stdout.getvalue() == ""


@pytest.mark.parametrize(
    ("selection", "line"),
    [
        (Selection(), ""),
        (Selection.of_all(), ""),
        (Selection.of_failed(), " --failed"),
        (Selection.of_run(7), " --run 7"),
        (Selection.of_cards(["a b", "2"]), " --card 'a b' 2"),
        (Selection.of_cards(map(str, range(21))), ""),
        (Selection.of_all().narrowed(program="tea"), " --program tea"),
        (Selection.of_failed().narrowed(wallet="apple"), " --failed --wallet apple"),
    ],
)
def test_the_line_to_go_on_does_not_begin_again(selection: Selection, line: str) -> None:
    """What the stopped run has marked as due needs no second mark: --all would send all again."""
    assert line_to_go_on(selection) == f"python manage.py sync_wallet_passes{line}"
    assert line_to_go_on(selection, notify=True).endswith(" --notify")


def test_a_terminal_is_coloured_and_as_wide_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe is neither."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    screen: Console = terminal.open_console(Terminal())
    pipe = terminal.open_console(io.StringIO())
    assert (screen.width, terminal.is_narrow(screen), screen.is_terminal) == (50, True, True)
    assert (terminal.is_narrow(pipe), pipe.is_terminal) == (False, False)
