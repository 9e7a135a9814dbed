"""Cards in Apple's terms."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalty_wallet.cards import Barcode, BarcodeFormat, Card, Program, ProgramKind
from loyalty_wallet.exceptions import InvalidCardError
from loyalty_wallet.wallets.apple.payloads import store_card
from loyalty_wallet.wallets.apple.strings import strings_files
from loyalty_wallet.wallets.base import Payload, canonical_json
from loyalty_wallet.wallets.words import TRANSLATIONS
from tests.wallets.cards import PROGRAM, card

CLUB = replace(PROGRAM, points_label="Points")
CARD = card({"points_label": "Points"}, points_balance=1250)
LIMA = ZoneInfo("America/Lima")
SHOP = {"latitude": 52.52, "longitude": 13.405, "relevantText": "A coffee?"}


def rendered(shown: Card = CARD, **changes: Any) -> Payload:
    options = {
        "serial_number": "0f3c",
        "pass_type_identifier": "pass.com.example.loyalty",
        "team_identifier": "ABCDE12345",
        "web_service_url": "https://shop.example.com/wallet/apple",
        **changes,
    }
    return store_card(shown, **options)


def fields(payload: Payload) -> list[dict[str, Any]]:
    return [field for group in payload["storeCard"].values() for field in group]


class TestStoreCard:
    def test_golden(self) -> None:
        """The whole of a pass.json as a phone gets it, byte for byte, but for the token."""
        golden = json.loads((Path(__file__).parent / "pass.json").read_text())
        assert rendered(locations=[SHOP]) == golden

    def test_the_same_card_gives_the_same_bytes(self) -> None:
        """A phone takes any difference for a new version."""
        again = card({"points_label": "Points"}, points_balance=1250)
        assert canonical_json(rendered()) == canonical_json(rendered(again))

    @pytest.mark.parametrize(
        "change",
        [
            {"points_balance": 1251},
            {"stamps": 4},
            {"tier": ""},
            {"holder_name": "Ada"},
            {"is_active": False},
            {"expires_at": None},
            {"barcode": None},
            {"program": replace(CLUB, reward="")},
            {"program": replace(CLUB, background_color="")},
        ],
    )
    def test_what_shows_makes_another_version(self, change: dict[str, Any]) -> None:
        """Everything that a customer can see is in it."""
        assert rendered(replace(CARD, **change)) != rendered()

    @pytest.mark.parametrize("kind", list(ProgramKind))
    def test_points_or_stamps_are_in_the_header(self, kind: ProgramKind) -> None:
        """The header is what shows of a pass in a stack."""
        payload = rendered(replace(CARD, program=replace(CLUB, kind=kind)))
        (header,) = payload["storeCard"]["headerFields"]
        assert header["key"] == ("points" if kind.has_points else "stamps")

    @pytest.mark.parametrize("kind", list(ProgramKind))
    def test_one_field_speaks(self, kind: ProgramKind) -> None:
        """With two changed fields that speak, a phone only says that the card has changed."""
        payload = rendered(replace(CARD, program=replace(CLUB, kind=kind)))
        speaking = [field for field in fields(payload) if "changeMessage" in field]
        assert len(speaking) == 1
        assert speaking[0]["changeMessage"].count("%@") == 1

    @pytest.mark.parametrize(
        ("label", "message"), [("Beans", "Beans: %@"), ("100 %", "%@"), ("%@ club", "%@")]
    )
    def test_the_change_message_has_one_place_to_fill(self, label: str, message: str) -> None:
        """A percent sign in a label of the shop's own must not be read as another one."""
        payload = rendered(replace(CARD, program=replace(CLUB, points_label=label)))
        assert payload["storeCard"]["headerFields"][0]["changeMessage"] == message

    @pytest.mark.parametrize("kind", list(ProgramKind))
    def test_or_none_does(self, kind: ProgramKind) -> None:
        """A shop may have its cards change without a word; all else stays as it is."""
        speaking = rendered(card({"kind": kind}))
        silent = rendered(card({"kind": kind}), change_message=False)
        assert "changeMessage" not in str(silent)
        header = speaking["storeCard"]["headerFields"][0]
        assert silent["storeCard"]["headerFields"][0] == {
            name: value for name, value in header.items() if name != "changeMessage"
        }
        assert {**silent, "storeCard": None} == {**speaking, "storeCard": None}

    def test_a_closed_card_is_voided(self) -> None:
        """It greys out on the phone; Apple has no other way to take a pass back."""
        assert rendered()["voided"] is False
        assert rendered(replace(CARD, is_active=False))["voided"] is True

    @pytest.mark.parametrize(
        ("background", "text"),
        [
            ("#5d4037", "rgb(255, 255, 255)"),
            ("#fff", "rgb(0, 0, 0)"),
            ("#ffeb3b", "rgb(0, 0, 0)"),
            ("#000000", "rgb(255, 255, 255)"),
            ("#c80000", "rgb(255, 255, 255)"),
            ("#00a000", "rgb(0, 0, 0)"),
        ],
    )
    def test_text_is_legible(self, background: str, text: str) -> None:
        """Black or white, whichever contrasts more with the background."""
        payload = rendered(replace(CARD, program=replace(CLUB, background_color=background)))
        assert payload["foregroundColor"] == payload["labelColor"] == text

    @pytest.mark.parametrize("barcode_format", list(BarcodeFormat))
    def test_every_symbology(self, barcode_format: BarcodeFormat) -> None:
        """Each of ours has one of Apple's."""
        payload = rendered(
            replace(CARD, barcode=Barcode(value="4711", format=barcode_format, text=""))
        )
        (barcode,) = payload["barcodes"]
        assert barcode["format"].startswith("PKBarcodeFormat")
        assert barcode["messageEncoding"] == "iso-8859-1"
        assert "altText" not in barcode

    def test_a_barcode_beyond_latin(self) -> None:
        """What ISO 8859-1 cannot say is said in UTF-8."""
        payload = rendered(replace(CARD, barcode=Barcode(value="карта")))
        assert payload["barcodes"][0]["messageEncoding"] == "utf-8"


class TestRefused:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"points_balance": 2**53 + 1}, "points"),
            ({"points_balance": True}, "whole number"),
            ({"stamps": 1.5}, "whole number"),
            ({"barcode": Barcode(value="")}, "barcode"),
            ({"expires_at": datetime(2027, 1, 31)}, "time zone"),  # noqa: DTZ001
            ({"expires_at": datetime.max.replace(tzinfo=LIMA)}, "9999"),
            ({"program": replace(CLUB, issuer_name="")}, "organizationName"),
            ({"program": replace(CLUB, name="")}, "description"),
            ({"program": replace(CLUB, points_label="")}, "points label"),
            ({"program": replace(CLUB, background_color="brown")}, "backgroundColor"),
        ],
    )
    def test_the_field_is_named(self, change: dict[str, Any], words: str) -> None:
        """What no phone could show costs nobody else anything, and says what to mend."""
        with pytest.raises(InvalidCardError, match=words):
            rendered(replace(CARD, **change))

    @pytest.mark.parametrize("serial_number", ["", "a/b", "a b", "ä", "a%20"])
    def test_serial_numbers_that_phones_mangle(self, serial_number: str) -> None:
        """A phone puts the serial number into a path as it sees fit."""
        with pytest.raises(InvalidCardError, match="serialNumber"):
            rendered(serial_number=serial_number)


class TestWords:
    def test_every_label_of_ours_is_translated(self) -> None:
        """No field of ours stays English on a German or French phone."""
        for kind in ProgramKind:
            for field in fields(rendered(replace(CARD, program=replace(CLUB, kind=kind)))):
                for texts in TRANSLATIONS.values():
                    assert field["label"] in texts
                    assert field.get("changeMessage", field["label"]) in texts

    def test_languages_agree(self) -> None:
        """Each language has every text, with the same places to fill."""
        keys = [set(texts) for texts in TRANSLATIONS.values()]
        assert all(one == keys[0] for one in keys)
        for texts in TRANSLATIONS.values():
            for english, text in texts.items():
                assert english.count("%@") == text.count("%@")

    def test_files_are_what_apple_reads(self) -> None:
        """One line a text, quoted, in UTF-8, English included."""
        files = strings_files()
        assert sorted(files) == [
            f"{language}.lproj/pass.strings" for language in ("de", "en", "fr")
        ]
        for content in files.values():
            for line in content.decode().splitlines():
                assert re.fullmatch(r'"[^"\\]+" = "[^"\\]+";', line)
        assert '"Reward" = "Prämie";' in files["de.lproj/pass.strings"].decode()


cards = st.builds(
    Card,
    key=st.text(min_size=1, max_size=8),
    card_number=st.text(max_size=8),
    holder_name=st.text(max_size=8),
    points_balance=st.integers(),
    stamps=st.integers(),
    tier=st.text(max_size=8),
    barcode=st.none() | st.builds(Barcode, value=st.text(max_size=8), text=st.text(max_size=8)),
    expires_at=st.none() | st.datetimes(timezones=st.sampled_from([UTC, LIMA])),
    is_active=st.booleans(),
    program=st.builds(
        Program,
        key=st.text(min_size=1, max_size=8),
        name=st.text(max_size=8),
        issuer_name=st.text(max_size=8),
        kind=st.sampled_from(ProgramKind),
        background_color=st.sampled_from(["", "#123", "#abcdef", "red"]),
        points_label=st.text(max_size=8),
        stamps_required=st.integers(),
        reward=st.text(max_size=8),
    ),
)


@given(cards)
def test_any_card(anybodys: Card) -> None:
    """A card is refused in our own words, or becomes JSON with one voice and no key twice."""
    try:
        payload = rendered(anybodys)
    except InvalidCardError:
        return
    assert json.loads(json.dumps(payload)) == payload
    keys = [field["key"] for field in fields(payload)]
    assert len(set(keys)) == len(keys)
    assert sum("changeMessage" in field for field in fields(payload)) == 1
