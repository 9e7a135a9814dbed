"""Passes that another system has handed out go on on their phones."""

from __future__ import annotations

import csv
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from loyalty_wallet.emulator.apple import ApnsEmulator
from loyalty_wallet.models import AppleDevice, AppleRegistration, LoyaltyCard, WalletPass
from loyalty_wallet.sync import sync_wallet_passes
from loyalty_wallet.sync.importing import OPTIONAL, REQUIRED
from tests.phonefront import apns, authority, configure_apple, iphone_pass, register
from tests.shopfront import configure, google, make_cards, program, right_cards

__all__ = [
    "apns",
    "authority",
    "configure",
    "configure_apple",
    "google",
    "make_cards",
    "program",
    "right_cards",
]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("configure_apple")]

MakeCards = Callable[[int], list[LoyaltyCard]]
TOKEN = "vxwxd7J8AlNNFPS8k0a0FfUFtq0ewzFd"
PUSH_TOKEN = "9f3c" * 16


@pytest.fixture
def take_over(tmp_path: Path) -> Callable[..., str]:
    """Run the command over these rows; return what it says."""

    def run(*rows: tuple[object, ...], options: tuple[str, ...] = ()) -> str:
        path = tmp_path / "passes.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(REQUIRED + OPTIONAL)
            writer.writerows(rows)
        said = StringIO()
        call_command("import_apple_passes", str(path), *options, stdout=said)
        return said.getvalue()

    return run


def test_a_pass_goes_on_under_its_own_name(
    take_over: Callable[..., str], right_cards: MakeCards, apns: ApnsEmulator
) -> None:
    """Serial number, token and device are kept; the next sync makes a version and rings."""
    (card,) = right_cards(1)
    before = iphone_pass(card)

    said = take_over((card.key, "old-serial.1", TOKEN, "device1", PUSH_TOKEN))

    assert said == "Took over 1 passes on 1 devices.\n"
    row = iphone_pass(card)
    assert (row.pk, row.remote_id, row.authentication_token) == (before.pk, "old-serial.1", TOKEN)
    assert row.is_due
    assert row.presence == WalletPass.Presence.IN_WALLET
    assert sync_wallet_passes().status == "succeeded"
    assert [push.push_token for push in apns.pushes] == [PUSH_TOKEN]
    row = iphone_pass(card)
    assert row.payload["pass"]["serialNumber"] == "old-serial.1"
    assert AppleRegistration.objects.get().pushed_tag == row.change_tag > before.change_tag


def test_cards_without_a_pass_get_theirs(
    take_over: Callable[..., str], make_cards: MakeCards
) -> None:
    """On two devices, one of which has two; and one pass that is on no device."""
    first, second, third = make_cards(3)
    WalletPass.objects.all().delete()
    said = take_over(
        (first.key, "s1", TOKEN, "phone", PUSH_TOKEN),
        (first.key, "s1", TOKEN, "watch", "ab" * 32),
        (second.key, "s2", TOKEN, "phone", PUSH_TOKEN),
        (third.key, "s3", TOKEN, "", ""),
    )
    assert said == "Took over 3 passes on 2 devices.\n"
    assert AppleDevice.objects.count() == 2
    assert AppleRegistration.objects.count() == 3
    assert iphone_pass(third).remote_id == "s3"
    assert iphone_pass(third).card_label == third.card_number
    assert WalletPass.objects.due().count() == 3


def test_a_second_time_changes_nothing(
    take_over: Callable[..., str], right_cards: MakeCards, apns: ApnsEmulator
) -> None:
    """Nobody is pushed twice for it, and what a phone has sent since holds."""
    (card,) = right_cards(1)
    row = (card.key, "s1", TOKEN, "phone", PUSH_TOKEN)
    take_over(row)
    sync_wallet_passes()
    AppleDevice.objects.update(push_token="cd" * 32)
    take_over(row)
    assert not iphone_pass(card).is_due
    assert AppleDevice.objects.get().push_token == "cd" * 32
    sync_wallet_passes()
    assert len(apns.pushes) == 1
    assert AppleRegistration.objects.count() == 1


def test_a_dry_run_writes_nothing(take_over: Callable[..., str], right_cards: MakeCards) -> None:
    """It says what would be."""
    (card,) = right_cards(1)
    before = iphone_pass(card).remote_id
    said = take_over((card.key, "s1", TOKEN, "d", PUSH_TOKEN), options=("--dry-run",))
    assert said == "Would take over 1 passes on 1 devices.\n"
    assert iphone_pass(card).remote_id == before
    assert not AppleDevice.objects.exists()


def test_one_bad_line_keeps_everything_out(
    take_over: Callable[..., str], right_cards: MakeCards
) -> None:
    """Each problem names its line and says what is wrong; no token is quoted."""
    cards = right_cards(4)
    register(cards[3])
    keys = [card.key for card in cards]
    before = sorted(WalletPass.objects.values_list("remote_id", flat=True))
    with pytest.raises(CommandError) as caught:
        take_over(
            (keys[0], "s1", TOKEN, "phone", PUSH_TOKEN),
            (keys[1], "s/2", "short", "", ""),
            (keys[1], "s2", TOKEN, "phone", ""),
            ("4711", "s3", TOKEN, "", ""),
            (keys[0], "s4", TOKEN, "", ""),
            (keys[2], "s1", TOKEN, "", ""),
            (keys[3], "s5", TOKEN, "", ""),
        )
    said = str(caught.value)
    assert said.splitlines() == [
        "Nothing was taken over: 6 problems.",
        "Line 3: serial_number, authentication_token: missing, or not as it should be.",
        "Line 4: push_token: missing, or not as it should be.",
        "Line 6: the card has another pass in line 2.",
        "Line 7: another card has this serial number already.",
        "Line 5: there is no card '4711' for the wallet 'apple'.",
        "Line 8: the card has another pass, which is on a phone.",
    ]
    assert TOKEN not in said
    assert sorted(WalletPass.objects.values_list("remote_id", flat=True)) == before
    assert AppleDevice.objects.count() == 1


def test_what_is_no_such_file(tmp_path: Path, take_over: Callable[..., str]) -> None:
    """A missing file, missing columns and a wallet that is not Apple's are said in one sentence."""
    path = tmp_path / "other.csv"
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("import_apple_passes", str(path))
    path.write_text("card_key,serial\n")
    with pytest.raises(CommandError, match="lacks the columns serial_number, authentication_token"):
        call_command("import_apple_passes", str(path))
    with pytest.raises(CommandError, match="No Apple wallet 'google'"):
        take_over(options=("--wallet", "google"))
