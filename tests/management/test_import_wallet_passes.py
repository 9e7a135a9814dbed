"""Passes that another system has handed out go on on their phones."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.emulator.apple import ApnsEmulator
from loyalty_wallet.models import (
    AppleDevice,
    AppleRegistration,
    LoyaltyCard,
    LoyaltyProgram,
    WalletPass,
)
from loyalty_wallet.sync import erase_card, sync_wallet_passes
from tests.phonefront import PASS_TYPE, iphone_pass, register
from tests.shopfront import balance_at, pass_of

from .walletpass import OldSystem, tables

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("configure_apple")]

MakeCards = Callable[[int], list[LoyaltyCard]]
TOKEN = "vxwxd7J8AlNNFPS8k0a0FfUFtq0ewzFd"
PUSH_TOKEN = "9f3c" * 16
COLUMNS = ("card", "wallet", "remote_id", "token", "device", "push_token")
Run = Callable[..., str]


def run_command(*options: str) -> str:
    said = StringIO()
    call_command("import_wallet_passes", *options, stdout=said)
    return said.getvalue()


def refused(*options: str) -> CommandError:
    with pytest.raises(CommandError) as caught:
        run_command(*options)
    return caught.value


@pytest.fixture
def file_of(tmp_path: Path) -> Callable[..., str]:
    """Write these rows into a CSV file; return its path."""

    def write(*rows: tuple[object, ...], columns: tuple[str, ...] = COLUMNS) -> str:
        path = tmp_path / "passes.csv"
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([columns, *rows])
        return str(path)

    return write


@pytest.fixture
def take_over(file_of: Callable[..., str]) -> Run:
    """Run the command over these rows; return what it says."""

    def run(*rows: tuple[object, ...], options: tuple[str, ...] = ()) -> str:
        return run_command("--csv", file_of(*rows), *options)

    return run


@pytest.fixture
def old_system(transactional_db: None) -> Iterator[OldSystem]:
    with tables():
        yield OldSystem(PASS_TYPE)


def state() -> list[tuple[object, ...]]:
    """Return everything that an import may write."""
    fields = ("card_key", "wallet", "remote_id", "authentication_token", "due_at", "presence")
    return [
        *WalletPass.objects.order_by("pk").values_list("pk", *fields, "desired_revision"),
        *AppleDevice.objects.order_by("pk").values_list("pk", "push_token"),
        *AppleRegistration.objects.order_by("pk").values_list("pk", "device", "wallet_pass"),
    ]


class TestApple:
    def test_a_pass_goes_on_under_its_own_name(
        self, take_over: Run, make_cards: MakeCards, apns: ApnsEmulator
    ) -> None:
        """Serial number, token and device are kept; the next sync makes a version and rings."""
        (card,) = make_cards(1)
        before = iphone_pass(card)

        said = take_over((card.key, "apple", "old-serial.1", TOKEN, "device1", PUSH_TOKEN))

        assert said == (
            "Took over 1 passes, with 1 new registrations of phones. The next sync brings them "
            "up to date.\n"
        )
        row = iphone_pass(card)
        assert (row.pk, row.remote_id, row.authentication_token) == (
            before.pk,
            "old-serial.1",
            TOKEN,
        )
        assert row.is_due
        assert row.fingerprint == ""
        assert row.presence == WalletPass.Presence.IN_WALLET
        assert sync_wallet_passes().status == "succeeded"
        assert [push.push_token for push in apns.pushes] == [PUSH_TOKEN]
        row = iphone_pass(card)
        assert row.payload["pass"]["serialNumber"] == "old-serial.1"
        assert AppleRegistration.objects.get().pushed_tag == row.change_tag > before.change_tag

    def test_cards_without_a_pass_get_theirs(self, take_over: Run, make_cards: MakeCards) -> None:
        """On two devices, one of which has two; and one pass that is on no device."""
        first, second, third = make_cards(3)
        WalletPass.objects.all().delete()
        said = take_over(
            (first.key, "apple", "s1", TOKEN, "phone", PUSH_TOKEN),
            (first.key, "apple", "s1", TOKEN, "watch", "ab" * 32),
            (second.key, "apple", "s2", TOKEN, "phone", PUSH_TOKEN),
            (third.key, "apple", "s3", TOKEN, "", ""),
        )
        assert said.startswith("Took over 3 passes, with 3 new registrations of phones.")
        assert AppleDevice.objects.count() == 2
        assert AppleRegistration.objects.count() == 3
        assert iphone_pass(third).remote_id == "s3"
        assert iphone_pass(third).card_label == third.card_number
        assert WalletPass.objects.due().count() == 3

    def test_what_a_phone_has_sent_since_holds(
        self, take_over: Run, make_cards: MakeCards, apns: ApnsEmulator
    ) -> None:
        """A second time pushes nobody, keeps a newer push token, and revives no removed card."""
        kept, removed = make_cards(2)
        rows = [
            (kept.key, "apple", "s1", TOKEN, "phone", PUSH_TOKEN),
            (removed.key, "apple", "s2", TOKEN, "phone", PUSH_TOKEN),
        ]
        take_over(*rows)
        sync_wallet_passes()
        AppleDevice.objects.update(push_token="cd" * 32)
        AppleRegistration.objects.filter(wallet_pass=iphone_pass(removed)).delete()
        WalletPass.objects.filter(card_key=removed.key).update(presence="removed")
        before = state()
        said = take_over(*rows)
        assert said == "Nothing new; 2 passes had been taken over before.\n"
        assert state() == before
        sync_wallet_passes()
        assert len(apns.pushes) == 1

    def test_a_pass_on_a_phone_is_never_replaced(
        self, take_over: Run, file_of: Callable[..., str], right_cards: MakeCards
    ) -> None:
        """One that was made here and is on no phone gives way only to whoever says so."""
        held, unused = right_cards(2)
        register(held)
        row = (unused.key, "apple", "s2", TOKEN, "phone", PUSH_TOKEN)
        before = state()
        error = refused("--csv", file_of(row))
        assert "Line 2: the card has a pass already, with another id." in str(error)
        assert state() == before
        take_over(row, options=("--replace-unused",))
        assert iphone_pass(unused).remote_id == "s2"
        assert iphone_pass(unused).is_due
        path = file_of((held.key, "apple", "s1", TOKEN, "", ""))
        assert refused("--csv", path, "--replace-unused").returncode == 1
        assert iphone_pass(held).remote_id != "s1"

    def test_a_pass_that_a_worker_delivers_is_left_to_it(
        self, file_of: Callable[..., str], make_cards: MakeCards
    ) -> None:
        """What is under way may be handed out in the next second."""
        (card,) = make_cards(1)
        WalletPass.objects.update(
            lease_token="t", lease_until=timezone.now() + timedelta(minutes=1)
        )
        before = state()
        error = refused("--csv", file_of((card.key, "apple", "s1", TOKEN, "", "")))
        assert "Line 2: a worker is about to hand out another pass of the card" in str(error)
        assert state() == before

    @pytest.mark.parametrize("was_taken_over", [True, False])
    def test_an_erased_card_never_comes_back(
        self,
        take_over: Run,
        file_of: Callable[..., str],
        make_cards: MakeCards,
        was_taken_over: bool,
    ) -> None:
        """Neither its pass nor its phones, whether it was known here or not."""
        (card,) = make_cards(1)
        row = (card.key, "apple", "s1", TOKEN, "phone", PUSH_TOKEN)
        if was_taken_over:
            take_over(row)
        erase_card(card.key)
        before = state()
        error = refused("--csv", file_of(row))
        assert "Line 2: the card was erased from the wallets, for good." in str(error)
        assert state() == before


class TestGoogle:
    def test_an_object_goes_on_without_a_double(
        self, take_over: Run, right_cards: MakeCards, google: GoogleEmulator
    ) -> None:
        """The next sync updates the object that customers have, and makes no other."""
        (card,) = right_cards(1)
        google_id = card.google_object_id
        WalletPass.objects.all().delete()
        LoyaltyCard.objects.filter(pk=card.pk).update(points_balance=77)
        assert "Took over 1 passes" in take_over((card.key, "google", google_id, "", "", ""))
        row = pass_of(card)
        assert (row.remote_id, row.fingerprint, row.is_due) == (google_id, "", True)
        report = sync_wallet_passes()
        assert (report.wallets["google"]["created"], report.wallets["google"]["updated"]) == (0, 1)
        assert list(google.objects) == [google_id]
        assert balance_at(google, card) == 77

    def test_a_delivered_object_is_never_replaced(
        self, file_of: Callable[..., str], right_cards: MakeCards, google: GoogleEmulator
    ) -> None:
        """Not even when told to: nobody registers with us, so that anybody may have it."""
        (card,) = right_cards(1)
        path = file_of((card.key, "google", f"{google.issuer_id}.old", "", "", ""))
        before = state()
        error = refused("--csv", path, "--replace-unused")
        assert "Line 2: the card has a pass already, with another id." in str(error)
        assert state() == before

    def test_an_object_that_was_never_delivered_gives_way(
        self, take_over: Run, make_cards: MakeCards, google: GoogleEmulator
    ) -> None:
        """Saving a card makes a pass at once, which nobody has yet."""
        (card,) = make_cards(1)
        old = f"{google.issuer_id}.old"
        take_over((card.key, "google", old, "", "", ""))
        assert sync_wallet_passes().status == "succeeded"
        assert list(google.objects) == [old]


class TestFile:
    def test_one_bad_line_keeps_everything_out(
        self, file_of: Callable[..., str], right_cards: MakeCards
    ) -> None:
        """Each problem names its line and says what is wrong; no token is quoted."""
        cards = right_cards(4)
        register(cards[3])
        WalletPass.objects.filter(card_key__in=[card.key for card in cards[:3]]).delete()
        keys = [card.key for card in cards]
        before = state()
        path = file_of(
            (keys[0], "apple", "s1", TOKEN, "phone", PUSH_TOKEN),
            (keys[1], "apple", "s/2", "short", "", ""),
            (keys[1], "apple", "s2", TOKEN, "phone", ""),
            ("4711", "apple", "s3", TOKEN, "", ""),
            (keys[0], "apple", "s4", TOKEN, "", ""),
            (keys[2], "apple", "s1", TOKEN, "", ""),
            (keys[3], "apple", "s5", TOKEN, "", ""),
            ("", "apple", "s6", TOKEN, "", ""),
            (keys[2], "samsung", "s7", TOKEN, "", ""),
            (keys[2], "google", "1234.s8", "", "", ""),
            (keys[2], "google"),
        )
        error = refused("--csv", path)
        assert error.returncode == 1
        assert str(error).splitlines() == [
            "Bad rows: 10.",
            "Line 3: remote_id, token: missing, or not as it should be.",
            "Line 4: push_token: missing, or not as it should be.",
            "Line 5: there is no card '4711' that can be read.",
            "Line 6: the card has another id or token in Line 2.",
            "Line 7: another card has this id in Line 2.",
            "Line 8: the card has a pass already, with another id.",
            "Line 9: card: missing, or too long.",
            "Line 10: wallet: 'samsung' is not configured (configured: google, apple).",
            "Line 11: remote_id: missing, or not as it should be.",
            "Line 12: it has 2 cells, and the first line 6.",
        ]
        assert TOKEN not in str(error)
        assert state() == before

    def test_bad_lines_are_skipped_when_told_so(
        self, file_of: Callable[..., str], make_cards: MakeCards
    ) -> None:
        """The others are taken over, the bad ones listed, and the status says that there are some."""
        (card,) = make_cards(1)
        path = file_of(
            ("4711", "apple", "s0", TOKEN, "", ""), (card.key, "apple", "s1", TOKEN, "", "")
        )
        error = refused("--csv", path, "--skip-bad")
        assert error.returncode == 1
        assert "Line 2: there is no card '4711'" in str(error)
        assert iphone_pass(card).remote_id == "s1"

    def test_a_dry_run_writes_nothing(self, take_over: Run, make_cards: MakeCards) -> None:
        """It says what would be."""
        (card,) = make_cards(1)
        before = state()
        row = (card.key, "apple", "s1", TOKEN, "d", PUSH_TOKEN)
        said = take_over(row, options=("--dry-run",))
        assert said == (
            "Would take over 1 passes, with 1 new registrations of phones. Nothing was written.\n"
        )
        assert state() == before

    def test_names_of_columns_and_what_stands_for_a_card(
        self, file_of: Callable[..., str], make_cards: MakeCards, program: LoyaltyProgram
    ) -> None:
        """Columns come in any order; a card number will do where only one card has it."""
        first, second = make_cards(2)
        other = LoyaltyProgram.objects.create(slug="tea", name="Tea", issuer_name="Corner Café")
        LoyaltyCard.objects.create(program=other, card_number=second.card_number)
        path = file_of(
            (TOKEN, "s1", first.card_number),
            (TOKEN, "s2", second.card_number),
            columns=("Authentication_Token", "serial_number", "card"),
        )
        options = ("--csv", path, "--wallet", "apple", "--match", "card_number", "--skip-bad")
        error = refused(*options)
        assert f"Line 3: {second.card_number!r} may mean any of 2 cards." in str(error)
        assert iphone_pass(first).remote_id == "s1"

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "must name the columns card and remote_id"),
            ("card,serial\n", "Unknown columns: 'serial'"),
            ("card,object_id,serial_number\n", "Two columns say the same"),
            ('card,remote_id\n1,"s1\n', "Line 2 is not CSV"),
        ],
    )
    def test_what_is_no_such_file(self, tmp_path: Path, text: str, message: str) -> None:
        """It is said in one sentence."""
        path = tmp_path / "other.csv"
        path.write_text(text)
        error = refused("--csv", str(path))
        assert message in str(error)
        assert error.returncode == 2

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (("--csv", "/nowhere/passes.csv"), "cannot be read"),
            (("--from-walletpass",), "Say with --match"),
            (("--from-walletpass", "--match", "pk"), "no table django_walletpass_pass"),
            (("--from-walletpass", "--match", "pk", "--wallet", "google"), "No Apple wallet"),
            (("--from-walletpass", "--match", "pk", "--database", "x"), "No database 'x'"),
            ((), "required"),
        ],
    )
    def test_orders_that_make_no_sense(self, options: tuple[str, ...], message: str) -> None:
        """Nothing is read, and the status is that of a wrong order."""
        error = refused(*options)
        assert message in str(error)
        assert error.returncode in (1, 2) if not options else error.returncode == 2

    @pytest.mark.parametrize("rule", ["nowhere.at_all", "tests.phonefront.TEAM", "number"])
    def test_rules_that_make_no_sense(self, file_of: Callable[..., str], rule: str) -> None:
        """A rule is a name or a function."""
        assert refused("--csv", file_of(), "--match", rule).returncode == 2


def card_of_ticket(serial_number: str) -> int | None:
    """Serial numbers of the old system were a card's number in lower case; tests had none."""
    number = serial_number.removeprefix("pass-").upper()
    return LoyaltyCard.objects.filter(card_number=number).values_list("pk", flat=True).first()


@pytest.mark.django_db(transaction=True)
class TestWalletpass:
    """From the tables of django-walletpass, wherever they are."""

    @pytest.mark.parametrize("match", ["card_number", "pk", f"{__name__}.card_of_ticket"])
    def test_passes_and_phones_go_on(
        self, old_system: OldSystem, make_cards: MakeCards, apns: ApnsEmulator, match: str
    ) -> None:
        """Three ways to say which card a serial number means."""
        first, second = make_cards(2)
        serials = {
            "card_number": [first.card_number, second.card_number],
            "pk": [first.key, second.key],
        }.get(match, [f"pass-{card.card_number.lower()}" for card in (first, second)])
        old_system.hand_out(serials[0], TOKEN, ("phone", "ab" * 32), ("phone", PUSH_TOKEN))
        old_system.hand_out(serials[1], TOKEN[::-1], ("phone", PUSH_TOKEN), ("pad", "cd" * 32))
        OldSystem("pass.com.example.tickets").hand_out("ticket", TOKEN)
        said = run_command("--from-walletpass", "--match", match)
        assert said.startswith("Took over 2 passes, with 3 new registrations of phones.")
        rows = [iphone_pass(card) for card in (first, second)]
        assert [row.remote_id for row in rows] == serials
        assert [row.authentication_token for row in rows] == [TOKEN, TOKEN[::-1]]
        assert sync_wallet_passes().status == "succeeded"
        assert sorted(push.push_token for push in apns.pushes) == [PUSH_TOKEN, "cd" * 32]
        before = state()
        assert "Nothing new" in run_command("--from-walletpass", "--match", match)
        assert state() == before

    def test_a_pass_of_no_card_keeps_everything_out(
        self, old_system: OldSystem, make_cards: MakeCards
    ) -> None:
        """It is named by its row in the old table."""
        (card,) = make_cards(1)
        old_system.hand_out(card.card_number, TOKEN)
        old_system.hand_out("test", TOKEN)
        before = state()
        error = refused("--from-walletpass", "--match", "card_number")
        assert error.returncode == 1
        assert str(error).endswith("(test): 'test' means no card.")
        assert state() == before

    def test_tables_that_look_otherwise(self, old_system: OldSystem) -> None:
        """What is lacking is named."""
        with connections["default"].cursor() as cursor:
            cursor.execute("DROP TABLE django_walletpass_registration")
            cursor.execute("CREATE TABLE django_walletpass_registration (id integer, pazz integer)")
        error = refused("--from-walletpass", "--match", "pk")
        assert "lacks the columns device_library_identifier, pazz_id, push_token" in str(error)
