"""The command that erases cards: what it asks, does and exits with."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, SyncRun, WalletPass
from tests.phonefront import register
from tests.shopfront import pass_of

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db


def run(*args: str) -> tuple[int, str]:
    """Run the command; return its exit status and what it printed on stdout."""
    stdout = StringIO()
    try:
        call_command("erase_wallet_card", *args, stdout=stdout, stderr=StringIO())
    except CommandError as error:
        return error.returncode, stdout.getvalue()
    return 0, stdout.getvalue()


@pytest.mark.usefixtures("configure_apple")
def test_it_says_what_goes_and_asks(
    google: GoogleEmulator, right_cards: MakeCards, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anything but yes erases nothing; yes erases and says what is still to come."""
    card, other = right_cards(2)
    register(card)
    answers = iter(["no", "yes"])
    monkeypatch.setattr("builtins.input", lambda _: next(answers))

    status, output = run(card.card_number)
    assert status == 2
    assert "erases 1 card from the wallets" in output
    assert "google: passes that are made void and blank: 1" in output
    assert "phones that are forgotten: 1" in output
    assert not WalletPass.objects.exclude(state=WalletPass.State.ACTIVE).exists()

    status, output = run(card.card_number)
    assert status == 0
    assert "wait for their phones to fetch what is void" in output
    assert google.objects[pass_of(card).remote_id]["state"] == "INACTIVE"
    assert google.objects[pass_of(other).remote_id]["state"] == "ACTIVE"


def test_nobody_to_ask_is_a_no(right_cards: MakeCards, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run by a script without --no-input, it erases nothing."""
    (card,) = right_cards(1)

    def at_end(_: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", at_end)

    assert run(card.key)[0] == 2
    assert pass_of(card).state == WalletPass.State.ACTIVE


def test_what_google_refuses_is_reported_and_stays_due(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """Exit 1, with the failure; the next run goes on."""
    (card,) = right_cards(1)
    google.fail(status=400, message="Not today.")

    status, output = run("--no-input", card.key)

    assert status == 1
    assert f"{card.key} (google): rejected: Not today." in output
    assert SyncRun.objects.latest("pk").status == "failed"
    assert pass_of(card).is_due


def test_cards_that_are_gone(google: GoogleEmulator, right_cards: MakeCards) -> None:
    """--gone erases what has passes but no row, however many that are."""
    cards = right_cards(14)
    gone = cards[:12]
    ids = [card.google_object_id for card in cards]
    LoyaltyCard.objects.filter(pk__in=[card.pk for card in gone])._raw_delete("default")

    assert run("--gone", "--no-input")[0] == 0

    states = [google.objects[object_id]["state"] for object_id in ids]
    assert states == ["INACTIVE"] * 12 + ["ACTIVE"] * 2
    assert "nothing to erase" in run("--gone", "--no-input")[1]


@pytest.mark.parametrize("args", [(), ("--gone", "1"), ("no-such-card",)])
@pytest.mark.usefixtures("configure")
def test_usage(args: tuple[str, ...]) -> None:
    """Nothing named, two things at once, or no card's name: 2, and nothing happens."""
    assert run("--no-input", *args)[0] == 2
