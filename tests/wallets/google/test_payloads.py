"""Cards in Google's terms: what is sent, field by field, and what is refused before it is sent."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import requests

from loyalty_wallet.cards import Barcode, BarcodeFormat, Card, ProgramKind
from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.exceptions import InvalidCardError
from loyalty_wallet.wallets.base import Payload, canonical_json, fingerprint
from loyalty_wallet.wallets.google import GoogleWallet
from loyalty_wallet.wallets.google.payloads import (
    DEFAULT_LOGO_URL,
    OBJECT_FIELDS,
    loyalty_class,
    loyalty_object,
)
from loyalty_wallet.wallets.words import LANGUAGES, TRANSLATIONS
from tests.emulator.client import Client
from tests.wallets.cards import BARE_CARD, BARE_PROGRAM, CARD, PROGRAM, card

OBJECT_ID = "3388000000000000001.card-1"
CLASS_ID = "3388000000000000001.coffee"


def rendered(shown: Card) -> Payload:
    return loyalty_object(shown, object_id=OBJECT_ID, class_id=CLASS_ID)


def test_full_object() -> None:
    """Points, stamps, tier, holder, barcode and expiry each have their place."""
    assert rendered(CARD) == {
        "id": OBJECT_ID,
        "classId": CLASS_ID,
        "state": "ACTIVE",
        "accountId": "C-1",
        "accountName": "Ada Example",
        "loyaltyPoints": {"label": "Beans", "balance": {"int": 120}},
        "secondaryLoyaltyPoints": {"label": "Stamps", "balance": {"string": "3/10"}},
        "barcode": {"type": "QR_CODE", "value": "C-1", "alternateText": "C-1"},
        "textModulesData": [
            {"id": "stamps", "header": "Stamps", "body": "3 of 10"},
            {"id": "reward", "header": "Reward", "body": "A free cup"},
            {"id": "tier", "header": "Tier", "body": "Gold"},
        ],
        "validTimeInterval": {"end": {"date": "2030-12-31T23:59:00+00:00"}},
    }


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ["Stamps", "Stamps: 3 of 10", "Reward: A free cup", "Tier: Gold"]),
        ("de", ["Stempel", "Stempel: 3 von 10", "Prämie: A free cup", "Stufe: Gold"]),
        ("fr", ["Tampons", "Tampons: 3 sur 10", "Récompense: A free cup", "Niveau: Gold"]),
    ],
)
def test_labels_are_in_the_language_of_the_wallet(language: str, words: list[str]) -> None:
    """The shop's own texts, the name of the points among them, stay as they are."""
    payload = loyalty_object(CARD, object_id=OBJECT_ID, class_id=CLASS_ID, language=language)
    modules = [f"{module['header']}: {module['body']}" for module in payload["textModulesData"]]
    assert [payload["secondaryLoyaltyPoints"]["label"], *modules] == words
    assert payload["loyaltyPoints"] == rendered(CARD)["loyaltyPoints"]


def test_bare_object_clears_what_it_lacks() -> None:
    """A field without content is sent as None, so that a PATCH removes what was there before."""
    assert rendered(BARE_CARD) == {
        "id": OBJECT_ID,
        "classId": CLASS_ID,
        "state": "ACTIVE",
        "accountId": None,
        "accountName": None,
        "loyaltyPoints": {"label": "Points", "balance": {"int": 0}},
        "secondaryLoyaltyPoints": None,
        "barcode": None,
        "textModulesData": [],
        "validTimeInterval": None,
    }


def test_full_class() -> None:
    """Names, colour and images each have their place, and the review is asked for."""
    assert loyalty_class(PROGRAM, class_id=CLASS_ID) == {
        "id": CLASS_ID,
        "issuerName": "Corner Shop",
        "programName": "Coffee Club",
        "programLogo": {"sourceUri": {"uri": "https://shop.example/logo.png"}},
        "heroImage": {"sourceUri": {"uri": "https://shop.example/hero.png"}},
        "hexBackgroundColor": "#123456",
        "reviewStatus": "UNDER_REVIEW",
    }


def test_bare_class_has_a_logo() -> None:
    """Google demands a logo: a program without one gets the default; the rest is cleared."""
    payload = loyalty_class(BARE_PROGRAM, class_id=CLASS_ID)
    assert payload["programLogo"] == {"sourceUri": {"uri": DEFAULT_LOGO_URL}}
    assert payload["heroImage"] is None
    assert payload["hexBackgroundColor"] is None
    other = loyalty_class(BARE_PROGRAM, class_id=CLASS_ID, default_logo_url="https://a.example/l")
    assert other["programLogo"] == {"sourceUri": {"uri": "https://a.example/l"}}


@pytest.mark.parametrize(
    ("kind", "has_points", "has_stamps"),
    [
        (ProgramKind.POINTS, True, False),
        (ProgramKind.STAMPS, False, True),
        (ProgramKind.HYBRID, True, True),
    ],
)
def test_kind_decides_what_is_counted(
    kind: ProgramKind, has_points: bool, has_stamps: bool
) -> None:
    """What the program does not count is not on the card, whatever the row says."""
    payload = rendered(card(program={"kind": kind}))
    assert (payload["loyaltyPoints"] is not None) is has_points
    assert (payload["secondaryLoyaltyPoints"] is not None) is has_stamps
    assert any(module["id"] == "stamps" for module in payload["textModulesData"]) is has_stamps


def test_stamps_without_a_goal_are_a_number() -> None:
    """A program that asks for no number of stamps shows how many there are."""
    payload = rendered(card(program={"stamps_required": 0}))
    assert payload["secondaryLoyaltyPoints"]["balance"] == {"string": "3"}
    assert payload["textModulesData"][0]["body"] == "3"


@pytest.mark.parametrize(("is_active", "state"), [(True, "ACTIVE"), (False, "INACTIVE")])
def test_state(is_active: bool, state: str) -> None:
    """A card that is off moves to the expired passes."""
    assert rendered(card(is_active=is_active))["state"] == state


@pytest.mark.parametrize(
    ("format_", "type_"),
    [
        (BarcodeFormat.QR_CODE, "QR_CODE"),
        (BarcodeFormat.PDF_417, "PDF_417"),
        (BarcodeFormat.AZTEC, "AZTEC"),
        (BarcodeFormat.CODE_128, "CODE_128"),
    ],
)
def test_barcode(format_: BarcodeFormat, type_: str) -> None:
    """Each symbology has Google's name; without a text nothing is printed below."""
    payload = rendered(card(barcode=Barcode(value="C-1", format=format_)))
    assert payload["barcode"] == {"type": type_, "value": "C-1"}


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2030, 6, 1, 12, tzinfo=UTC),
        datetime(2030, 6, 1, 14, tzinfo=timezone(timedelta(hours=2))),
        datetime(2030, 6, 1, 6, 30, tzinfo=timezone(timedelta(hours=-5, minutes=-30))),
    ],
)
def test_expiry_is_one_moment_in_every_zone(moment: datetime) -> None:
    """The same moment is sent the same way, so that a change of zone is no change of the card."""
    payload = rendered(card(expires_at=moment))
    assert payload["validTimeInterval"] == {"end": {"date": "2030-06-01T12:00:00+00:00"}}


@pytest.mark.parametrize("value", [-(2**31), -1, 0, 2**31 - 1])
def test_balance_fills_32_bits(value: int) -> None:
    """Google's balance is an int32; all of it can be used."""
    payload = rendered(card(points_balance=value, stamps=value))
    assert payload["loyaltyPoints"]["balance"] == {"int": value}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"points_balance": 2**31}, "loyaltyPoints.balance"),
        ({"points_balance": -(2**31) - 1}, "loyaltyPoints.balance"),
        ({"stamps": 2**31}, "secondaryLoyaltyPoints.balance"),
        ({"stamps": -(2**31) - 1}, "secondaryLoyaltyPoints.balance"),
        ({"program": {"points_label": ""}}, "loyaltyPoints.label"),
        ({"expires_at": datetime(2030, 1, 1)}, "validTimeInterval.end"),  # noqa: DTZ001
        ({"barcode": Barcode(value="")}, "barcode.value"),
    ],
)
def test_invalid_card_is_refused_by_field(changes: dict[str, Any], field: str) -> None:
    """What Google would refuse costs no request, and the error names the field."""
    with pytest.raises(InvalidCardError) as refusal:
        rendered(card(**changes))
    assert refusal.value.message.startswith(f"{field}: ")
    assert refusal.value.code == "invalid_card"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"issuer_name": ""}, "issuerName"),
        ({"name": ""}, "programName"),
        ({"background_color": "red"}, "hexBackgroundColor"),
        ({"background_color": "#12345"}, "hexBackgroundColor"),
        ({"background_color": "#1234567"}, "hexBackgroundColor"),
        ({"background_color": "#fff\n"}, "hexBackgroundColor"),
        ({"logo_url": "http://shop.example/logo.png"}, "programLogo"),
        ({"logo_url": "logo.png"}, "programLogo"),
        ({"hero_image_url": "ftp://shop.example/hero.png"}, "heroImage"),
    ],
)
def test_invalid_program_is_refused_by_field(changes: dict[str, Any], field: str) -> None:
    """A program that Google would refuse costs no request either."""
    with pytest.raises(InvalidCardError) as refusal:
        loyalty_class(replace(PROGRAM, **changes), class_id=CLASS_ID)
    assert refusal.value.message.startswith(f"{field}: ")


BAD_IDS = ["", "3388", "3388.", ".card", "3388.a b", "3388.a/b", "3388.ü", "3388.a\n", "33 88.a"]


@pytest.mark.parametrize("bad", BAD_IDS)
def test_invalid_id_is_refused(bad: str) -> None:
    """An id is an issuer, a dot and letters, digits, dots, underscores and hyphens."""
    with pytest.raises(InvalidCardError, match=r"^id: "):
        loyalty_object(CARD, object_id=bad, class_id=CLASS_ID)
    with pytest.raises(InvalidCardError, match=r"^classId: "):
        loyalty_object(CARD, object_id=OBJECT_ID, class_id=bad)
    with pytest.raises(InvalidCardError, match=r"^id: "):
        loyalty_class(PROGRAM, class_id=bad)


def test_equal_cards_have_equal_payloads() -> None:
    """Rendering is deterministic: what has not changed is not sent again."""
    assert fingerprint(canonical_json(rendered(card()))) == fingerprint(
        canonical_json(rendered(card()))
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"card_number": "C-2"},
        {"holder_name": "Grace"},
        {"points_balance": 121},
        {"stamps": 4},
        {"tier": "Silver"},
        {"tier": ""},
        {"barcode": None},
        {"barcode": Barcode(value="C-1", text="C 1")},
        {"expires_at": None},
        {"is_active": False},
        {"program": {"points_label": "Points"}},
        {"program": {"stamps_required": 8}},
        {"program": {"reward": ""}},
    ],
)
def test_whatever_shows_changes_the_fingerprint(changes: dict[str, Any]) -> None:
    """No change of the card goes unnoticed."""
    assert fingerprint(canonical_json(rendered(card(**changes)))) != fingerprint(
        canonical_json(rendered(CARD))
    )


def insert(payload: Payload) -> dict[str, Any]:
    return {name: value for name, value in payload.items() if value is not None}


@pytest.fixture
def google() -> Any:
    with GoogleEmulator(requests_per_second=None) as emulator:
        yield emulator


@pytest.fixture
def client(google: GoogleEmulator) -> Any:
    client = Client(google.url, google.service_account)
    with client.session:
        client.sign_in()
        yield client


def accepted(response: requests.Response) -> None:
    assert response.status_code == 200, response.text


@pytest.mark.parametrize("kind", list(ProgramKind))
def test_google_takes_it_and_clears_what_went(
    google: GoogleEmulator, client: Client, kind: ProgramKind
) -> None:
    """Google takes the full card and the bare one, and the bare one leaves nothing behind."""
    program = replace(PROGRAM, kind=kind)
    accepted(client.call("POST", "loyaltyClass", insert(loyalty_class(program, class_id=CLASS_ID))))
    full = rendered(replace(CARD, program=program))
    accepted(client.call("POST", "loyaltyObject", insert(full)))
    assert google.objects[OBJECT_ID] == insert(full)

    bare_program = replace(BARE_PROGRAM, kind=kind)
    bare = rendered(replace(BARE_CARD, program=bare_program, is_active=False))
    accepted(client.call("PATCH", f"loyaltyObject/{OBJECT_ID}", bare))
    stored = google.objects[OBJECT_ID]
    assert {name for name in full if stored.get(name)} <= {name for name in bare if bare[name]}
    for gone in ("barcode", "validTimeInterval", "accountName", "accountId"):
        assert gone not in stored
    assert stored["state"] == "INACTIVE"

    bare_class = loyalty_class(bare_program, class_id=CLASS_ID)
    accepted(client.call("PATCH", f"loyaltyClass/{CLASS_ID}", bare_class))
    assert "heroImage" not in google.classes[CLASS_ID]
    assert "hexBackgroundColor" not in google.classes[CLASS_ID]


def test_class_names_what_the_wallet_was_told() -> None:
    """The callback's URL and who may hold a card are sent where the options say so, else left."""
    plain = loyalty_class(PROGRAM, class_id="1.club")
    assert not {"callbackOptions", "multipleDevicesAndHoldersAllowedStatus"} & plain.keys()
    url = "https://shop.example/wallet/google/callback/"
    told = loyalty_class(
        PROGRAM, class_id="1.club", callback_url=url, holders="ONE_USER_ALL_DEVICES"
    )
    assert told["callbackOptions"] == {"url": url}
    assert told["multipleDevicesAndHoldersAllowedStatus"] == "ONE_USER_ALL_DEVICES"


@pytest.mark.parametrize(
    "option",
    [
        {"callback_url": "http://shop.example/callback/"},
        {"callback_keys_url": "http://pay.google.com/keys"},
        {"holders": "ANYBODY"},
        {"language": "Deutsch"},
        {"save_url": "http://pay.google.com/gp/v/save/"},
    ],
)
def test_options_are_checked(option: dict[str, Any]) -> None:
    """What would be sent in the clear, or means nothing, is refused by name."""
    (name,) = option
    with pytest.raises(ValueError, match=name):
        GoogleWallet("google", issuer_id="1", credentials="{}", **option)


def test_a_language_has_all_words() -> None:
    """Whoever adds one is told what is missing."""
    assert set(LANGUAGES) == {"en", *TRANSLATIONS}


def test_the_wallet_renders_in_its_language() -> None:
    """Two brands in two countries are two wallets."""
    wallet = GoogleWallet("google", issuer_id="1", credentials="{}", language="de")
    payload = wallet.render(CARD, remote_id=OBJECT_ID, program_id=CLASS_ID)
    assert payload["secondaryLoyaltyPoints"]["label"] == "Stempel"


def test_fields_that_an_audit_asks_for_are_those_that_are_sent() -> None:
    """Nothing that is ours goes uncompared."""
    assert set(loyalty_object(CARD, object_id="1.a", class_id="1.b")) == set(OBJECT_FIELDS)
