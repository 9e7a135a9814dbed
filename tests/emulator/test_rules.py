"""Google's rules for classes and objects, one refusal at a time."""

from __future__ import annotations

from typing import Any

import pytest

from loyalty_wallet.emulator import GoogleEmulator

from .client import CLASS_ID, ISSUER_ID, LOGO, OBJECT_ID, Client, balance, error_of

MESSAGES = [{"header": "Hello", "body": "World", "id": str(number)} for number in range(11)]


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"loyaltyPunkte": {}}, "loyaltyPunkte"),
        ({"loyaltyPoints": {"balance": {"integer": 1}}}, "loyaltyPoints.balance"),
        ({"accountName": 7}, "accountName"),
        ({"accountName": ["Ada"]}, "accountName"),
        ({"hasUsers": "yes"}, "hasUsers"),
        ({"loyaltyPoints": 7}, "loyaltyPoints"),
        ({"loyaltyPoints": balance(2**31)}, "loyaltyPoints.balance.int"),
        ({"loyaltyPoints": balance(-(2**31) - 1)}, "loyaltyPoints.balance.int"),
        ({"loyaltyPoints": {"balance": {"int": "7"}}}, "loyaltyPoints.balance.int"),
        ({"loyaltyPoints": {"balance": {"int": True}}}, "loyaltyPoints.balance.int"),
        ({"loyaltyPoints": {"balance": {"int": 7.5}}}, "loyaltyPoints.balance.int"),
        ({"loyaltyPoints": {"balance": {"double": "7"}}}, "loyaltyPoints.balance.double"),
        ({"loyaltyPoints": {"balance": {"money": {"micros": 7}}}}, "balance.money.micros"),
        ({"loyaltyPoints": {"balance": {"money": {"micros": "9" * 19}}}}, "money.micros"),
        ({"state": "SLEEPING"}, "state"),
        ({"state": 1}, "state"),
        ({"barcode": {"type": "QR", "value": "1"}}, "barcode.type"),
        ({"textModulesData": {"id": "a"}}, "textModulesData"),
        ({"textModulesData": [{"id": "a"}, "b"]}, "textModulesData.1"),
        ({"textModulesData": [None]}, "textModulesData.0"),
    ],
)
def test_schema_is_enforced(shop: Client, fields: dict[str, Any], where: str) -> None:
    """A field that is unknown or of the wrong type is refused, and the error says where it is."""
    response = shop.patch_object(**fields)
    assert error_of(response) == (400, "badRequest")
    assert where in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "fields",
    [
        {"loyaltyPoints": {"balance": {"int": 1, "string": "1"}}},
        {"secondaryLoyaltyPoints": {"balance": {}}},
        {"loyaltyPoints": {"label": "Points"}},
        {"heroImage": {}},
        {"heroImage": LOGO | {"privateImageId": "1"}},
        {"imageModulesData": [{"mainImage": {"sourceUri": {}}}]},
        {"textModulesData": [{"id": "tier.gold", "body": "Gold"}]},
        {"messages": MESSAGES},
        {"messages": [{"body": "Bye", "messageType": "EXPIRATION_NOTIFICATION"}]},
        {"merchantLocations": [{"latitude": 1.0, "longitude": 2}] * 11},
        {"valueAddedModuleData": [{"uri": "https://shop.example"}] * 16},
        {
            "validTimeInterval": {
                "start": {"date": "2026-01-01T00:00:00Z"},
                "end": {"date": "2026-12-31T00:00:00"},
            }
        },
        {"id": f"{ISSUER_ID}.other"},
        {"classId": None},
        {"state": None},
        {"classId": "coffee"},
    ],
)
def test_rules_beyond_the_schema(shop: Client, fields: dict[str, Any]) -> None:
    """What the schema allows and Google's documentation forbids is refused too."""
    assert error_of(shop.patch_object(**fields)) == (400, "invalidResource")


@pytest.mark.parametrize(
    "fields",
    [
        {"loyaltyPoints": balance(2**31 - 1)},
        {"loyaltyPoints": balance(-(2**31))},
        {"loyaltyPoints": {"balance": {"string": "3/10"}}},
        {"loyaltyPoints": {"balance": {"double": 7}}},
        {"loyaltyPoints": {"balance": {"money": {"micros": "1000000", "currencyCode": "EUR"}}}},
        {"loyaltyPoints": {"balance": {"int": 1, "string": None}}},
        {"state": "expired"},
        {"messages": MESSAGES[:10]},
        {"textModulesData": [{"id": "tier_gold-1", "body": "Gold"}]},
        {"heroImage": {"privateImageId": "1"}},
        {"validTimeInterval": {"start": {"date": "2026-01-01"}, "end": {"date": "2026-12-31"}}},
        {"classReference": {"id": CLASS_ID}, "hasUsers": True, "kind": "walletobjects#x"},
    ],
)
def test_what_google_documents_is_taken(shop: Client, fields: dict[str, Any]) -> None:
    """Values at the edge of the rules are taken."""
    assert shop.patch_object(**fields).status_code == 200


@pytest.mark.parametrize("field", ["id", "classId", "state"])
def test_object_requires(client: Client, field: str) -> None:
    """An object without one of its required fields is not inserted."""
    client.insert_class()
    response = client.insert_object(**{field: None})
    assert error_of(response) == (400, "invalidResource")
    assert field in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "field", ["id", "issuerName", "programName", "programLogo", "reviewStatus"]
)
def test_class_requires(client: Client, field: str) -> None:
    """A class without one of its required fields is not inserted."""
    response = client.insert_class(**{field: None})
    assert error_of(response) == (400, "invalidResource")
    assert field in response.json()["error"]["message"]


@pytest.mark.parametrize("color", ["#fff", "#FF00aa"])
def test_color_is_taken(client: Client, color: str) -> None:
    """A class takes a colour as #rgb or #rrggbb."""
    assert client.insert_class(hexBackgroundColor=color).status_code == 200


@pytest.mark.parametrize("color", ["red", "#ffff", "#ff00zz"])
def test_other_colors_are_refused(client: Client, color: str) -> None:
    """A class takes no other notation of a colour."""
    assert error_of(client.insert_class(hexBackgroundColor=color)) == (400, "invalidResource")


@pytest.mark.parametrize(
    "resource_id", ["card-1", f"{ISSUER_ID}.", f"{ISSUER_ID}.ada@shop", "x.y", f"{ISSUER_ID}.ü"]
)
def test_id_charset(client: Client, resource_id: str) -> None:
    """An id is ISSUER_ID.suffix of letters, digits, dot, underscore and hyphen."""
    client.insert_class()
    assert error_of(client.insert_object(id=resource_id)) == (400, "invalidResource")
    assert error_of(client.call("GET", f"loyaltyObject/{resource_id}")) == (400, "invalidResource")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"null", b"\xff", b"[" * 100_000])
def test_body_is_a_json_object(shop: Client, body: bytes) -> None:
    """A body that is not a JSON object is a parse error."""
    response = shop.call("PATCH", f"loyaltyObject/{OBJECT_ID}", data=body)
    assert error_of(response) == (400, "parseError")


def test_refused_write_changes_nothing(google: GoogleEmulator, shop: Client) -> None:
    """A refused PATCH leaves the object as it was and is not counted as applied."""
    before = google.objects
    shop.patch_object(loyaltyPoints=balance(9), nonsense=1)
    assert google.objects == before
    assert [entry.method for entry in google.applied_writes(OBJECT_ID)] == ["POST"]


@pytest.mark.parametrize(
    "status", ["APPROVED", "approved", "REJECTED", "REVIEW_STATUS_UNSPECIFIED"]
)
def test_review_status_is_googles_to_give(client: Client, status: str) -> None:
    """An issuer sets draft or underReview; sending back "approved" is refused."""
    assert error_of(client.insert_class(reviewStatus=status)) == (400, "invalidResource")
    client.insert_class()
    response = client.call("PATCH", f"loyaltyClass/{CLASS_ID}", {"reviewStatus": status})
    assert error_of(response) == (400, "invalidResource")


@pytest.mark.parametrize("status", ["UNDER_REVIEW", "underReview"])
def test_class_is_approved_at_once(google: GoogleEmulator, client: Client, status: str) -> None:
    """A class under review is approved at once."""
    assert client.insert_class(reviewStatus=status).json()["reviewStatus"] == "approved"
    assert google.classes[CLASS_ID]["reviewStatus"] == "APPROVED"


def test_class_waits_for_review_if_so_configured() -> None:
    """With approves_classes off a class stays under review."""
    with GoogleEmulator(approves_classes=False) as google:
        client = Client(google.url, google.service_account)
        with client.session:
            client.sign_in()
            assert client.insert_class().json()["reviewStatus"] == "underReview"


def test_draft_class_takes_no_objects(client: Client) -> None:
    """Objects of a draft class are refused until it leaves draft, for good."""
    client.insert_class(reviewStatus="DRAFT")
    assert error_of(client.insert_object()) == (400, "invalidResource")
    path = f"loyaltyClass/{CLASS_ID}"
    assert client.call("PATCH", path, {"reviewStatus": "UNDER_REVIEW"}).status_code == 200
    assert client.insert_object().status_code == 200
    refused = client.call("PATCH", path, {"reviewStatus": "DRAFT"})
    assert error_of(refused) == (400, "invalidResource")
