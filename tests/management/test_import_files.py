"""Files of passes that are wrong, and orders to import that make no sense."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram, WalletPass
from tests.phonefront import iphone_pass, register

from .importing import PUSH_TOKEN, TOKEN, Run, refused, state

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("configure_apple")]

MakeCards = Callable[[int], list[LoyaltyCard]]


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
        ],
    )
    def test_orders_that_make_no_sense(self, options: tuple[str, ...], message: str) -> None:
        """Nothing is read, and the status is that of a wrong order."""
        error = refused(*options)
        assert message in str(error)
        assert error.returncode == 2

    def test_no_order_at_all(self) -> None:
        """It does not guess where the passes are."""
        assert "one of the arguments --from-walletpass --csv is required" in str(refused())

    @pytest.mark.parametrize("rule", ["nowhere.at_all", "tests.phonefront.TEAM", "number"])
    def test_rules_that_make_no_sense(self, file_of: Callable[..., str], rule: str) -> None:
        """A rule is a name or a function."""
        assert refused("--csv", file_of(), "--match", rule).returncode == 2
