"""What get, insert, patch, update, list and addMessage do, and how Google spells its answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.emulator.google.dialect import LATER_FIELD, alias_of

from .client import CLASS_ID, ISSUER_ID, LOGO, OBJECT_ID, Client, error_of, loyalty_object


def test_stored_as_sent(google: GoogleEmulator, shop: Client) -> None:
    """A snapshot shows an object as it was sent, not as Google spells it."""
    assert google.objects == {OBJECT_ID: loyalty_object()}


def test_snapshot_is_a_copy(google: GoogleEmulator, shop: Client) -> None:
    """Changing a snapshot changes nothing in the emulator."""
    google.objects[OBJECT_ID]["loyaltyPoints"]["balance"]["int"] = 99
    assert google.objects[OBJECT_ID] == loyalty_object()


def test_duplicate_insert_is_409(shop: Client) -> None:
    """An id is taken for ever."""
    assert error_of(shop.insert_class()) == (409, "alreadyExists")
    assert error_of(shop.insert_object()) == (409, "alreadyExists")


@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT"])
def test_missing_object_is_404(client: Client, method: str) -> None:
    """An object that was never inserted is not found."""
    client.insert_class()
    response = client.call(method, f"loyaltyObject/{OBJECT_ID}", loyalty_object())
    assert error_of(response) == (404, "resourceNotFound")


def test_missing_class_is_404(client: Client) -> None:
    """An object needs its class first, and a class that was never inserted is not found."""
    assert error_of(client.insert_object()) == (404, "classNotFound")
    assert error_of(client.call("GET", f"loyaltyClass/{CLASS_ID}")) == (404, "resourceNotFound")


def test_patch_moves_to_an_existing_class_only(shop: Client) -> None:
    """An object can be moved to another class, if that exists."""
    other = f"{ISSUER_ID}.tea"
    assert error_of(shop.patch_object(classId=other)) == (404, "classNotFound")
    shop.insert_class(id=other)
    assert shop.patch_object(classId=other).json()["classReference"]["id"] == other


def test_patch_changes_only_what_is_sent(google: GoogleEmulator, shop: Client) -> None:
    """PATCH replaces sent top-level fields whole and leaves the others alone."""
    shop.patch_object(accountName="Ada", textModulesData=[{"id": "a"}, {"id": "b"}])
    shop.patch_object(textModulesData=[{"id": "c"}], loyaltyPoints={"balance": {"int": 8}})
    assert google.objects[OBJECT_ID] == loyalty_object(
        accountName="Ada",
        textModulesData=[{"id": "c"}],
        loyaltyPoints={"balance": {"int": 8}},
    )


def test_null_clears(google: GoogleEmulator, shop: Client) -> None:
    """In a PATCH null clears a field; deeper down it means "not set"."""
    shop.patch_object(accountName="Ada", heroImage=LOGO)
    shop.patch_object(accountName=None, heroImage=LOGO | {"privateImageId": None})
    assert google.objects[OBJECT_ID] == loyalty_object(heroImage=LOGO)


def test_put_clears_what_is_left_out(google: GoogleEmulator, shop: Client) -> None:
    """PUT replaces the object; the id may be left to the path."""
    shop.patch_object(accountName="Ada")
    google.edit_object(OBJECT_ID, hasUsers=True)
    body = loyalty_object(state="INACTIVE")
    del body["id"]
    response = shop.call("PUT", f"loyaltyObject/{OBJECT_ID}", body)
    assert response.json()["hasUsers"] is True
    assert google.objects[OBJECT_ID] == loyalty_object(state="INACTIVE", hasUsers=True)


def test_put_needs_all_required_fields(shop: Client) -> None:
    """PUT without a required field is refused."""
    response = shop.call("PUT", f"loyaltyObject/{OBJECT_ID}", {"state": "ACTIVE"})
    assert error_of(response) == (400, "invalidResource")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", f"loyaltyObject/{OBJECT_ID}"),
        ("DELETE", f"loyaltyClass/{CLASS_ID}"),
        ("POST", f"loyaltyObject/{OBJECT_ID}"),
        ("POST", f"loyaltyObject/{OBJECT_ID}/explode"),
        ("PATCH", "loyaltyObject"),
        ("GET", "giftCardObject/1.x"),
        ("GET", "loyaltyObject/"),
    ],
)
def test_unknown_calls_are_404(shop: Client, method: str, path: str) -> None:
    """Nothing can be deleted, and what Google does not document does not exist."""
    assert error_of(shop.call(method, path, {})) == (404, "notFound")


def test_google_ignores_what_only_it_may_set(google: GoogleEmulator, shop: Client) -> None:
    """hasUsers, kind, version and classReference are Google's; notifyPreference is not kept."""
    shop.patch_object(
        hasUsers=True,
        kind="x",
        version="7",
        classReference={"id": CLASS_ID},
        notifyPreference="NOTIFY_ON_UPDATE",
    )
    assert google.objects[OBJECT_ID] == loyalty_object()


def test_answer_is_in_googles_dialect(google: GoogleEmulator, shop: Client) -> None:
    """Answers carry other enum spellings, kinds, hasUsers, the class and an unknown field."""
    shop.patch_object(
        barcode={"type": "QR_CODE", "value": "1"},
        passConstraints={"screenshotEligibility": "INELIGIBLE"},
    )
    answer = shop.get_object().json()
    assert answer["state"] == "active"
    assert answer["barcode"] == {"kind": "walletobjects#barcode", "type": "qrCode", "value": "1"}
    assert answer["passConstraints"] == {"screenshotEligibility": "ineligible"}
    assert answer["kind"] == "walletobjects#loyaltyObject"
    assert answer["hasUsers"] is False
    assert answer["classReference"]["kind"] == "walletobjects#loyaltyClass"
    assert answer["classReference"]["reviewStatus"] == "approved"
    assert answer["classReference"]["programLogo"]["kind"] == "walletobjects#image"
    assert LATER_FIELD in answer


def test_class_reference_is_current(shop: Client) -> None:
    """An object's classReference shows the class as it is now."""
    shop.get_object()
    shop.call("PATCH", f"loyaltyClass/{CLASS_ID}", {"programName": "Tea Club"})
    assert shop.get_object().json()["classReference"]["programName"] == "Tea Club"


def test_echo_cannot_be_sent_back(shop: Client) -> None:
    """An answer sent back as it came is refused: it holds fields that are not the issuer's."""
    assert error_of(shop.patch_object(**shop.get_object().json())) == (400, "badRequest")


@pytest.mark.parametrize(
    ("sent", "allowed", "answered"),
    [
        ("UNDER_REVIEW", ["UNDER_REVIEW", "underReview"], "underReview"),
        ("QR_CODE", ["QR_CODE", "qrCode", "qrcode"], "qrCode"),
        ("EAN_13", ["EAN_13", "ean13", "EAN13"], "ean13"),
        ("PDF_417", ["PDF_417", "pdf417", "PDF417"], "pdf417"),
        ("STATUS_UNSPECIFIED", ["STATUS_UNSPECIFIED"], "statusUnspecified"),
    ],
)
def test_enum_aliases(sent: str, allowed: list[str], answered: str) -> None:
    """An enum comes back as its first listed alias, or in camelCase if none is listed."""
    assert alias_of(sent, allowed) == answered


def test_answer_headers(shop: Client) -> None:
    """JSON is declared as Google does it, without ETag or rate-limit headers."""
    headers = shop.get_object().headers
    assert headers["Content-Type"] == "application/json; charset=UTF-8"
    assert not [name for name in headers if name == "ETag" or "rate" in name.lower()]


def test_fields_trim_the_answer(shop: Client) -> None:
    """`fields` returns what is asked for and nothing else."""
    answer = shop.get_object("?fields=id,state,hasUsers").json()
    assert answer == {"id": OBJECT_ID, "state": "active", "hasUsers": False}
    nested = shop.get_object("?fields=loyaltyPoints/balance,classReference(id,kind)").json()
    assert nested["loyaltyPoints"] == {"balance": {"int": 5}}
    assert set(nested["classReference"]) == {"id", "kind"}


@pytest.mark.parametrize("fields", ["id,", "a(b", "a)b", "/a", "a//b", "a("])
def test_senseless_fields_are_refused_before_the_write(
    google: GoogleEmulator, shop: Client, fields: str
) -> None:
    """A selection that cannot be read is refused and nothing is written."""
    path = f"loyaltyObject/{OBJECT_ID}?fields={fields}"
    response = shop.call("PATCH", path, {"state": "INACTIVE"})
    assert error_of(response) == (400, "invalidParameter")
    assert google.objects[OBJECT_ID]["state"] == "ACTIVE"


def test_pretty_print(shop: Client) -> None:
    """Answers are indented unless prettyPrint is false."""
    pretty, compact = shop.get_object().text, shop.get_object("?prettyPrint=false").text
    assert "\n  " in pretty
    assert "\n" not in compact
    assert json.loads(pretty) == json.loads(compact)


def pages(client: Client, path: str, size: int) -> list[list[str]]:
    """Follow nextPageToken to the end."""
    found, token = [], ""
    while True:
        answer = client.call("GET", f"{path}&maxResults={size}&token={token}").json()
        ids = [entry["id"] for entry in answer["resources"]]
        assert answer["pagination"]["resultsPerPage"] == len(ids)
        found.append(ids)
        token = answer["pagination"].get("nextPageToken")
        if not token:
            return found


def test_objects_are_listed_by_class(shop: Client) -> None:
    """A class's objects come in pages, or all at once without maxResults."""
    more = [f"{ISSUER_ID}.card-{number}" for number in range(2, 6)]
    for object_id in more:
        shop.insert_object(id=object_id)
    path = f"loyaltyObject?classId={CLASS_ID}"
    assert pages(shop, path, 2) == [[OBJECT_ID, more[0]], more[1:3], more[3:]]
    everything = shop.call("GET", path).json()
    assert [entry["id"] for entry in everything["resources"]] == [OBJECT_ID, *more]
    assert "nextPageToken" not in everything["pagination"]
    assert shop.call("GET", f"loyaltyObject?classId={ISSUER_ID}.tea").json()["resources"] == []


def test_classes_are_listed_by_issuer(google: GoogleEmulator, shop: Client) -> None:
    """An issuer's classes are listed, and no other issuer's."""
    google.allow_issuer("4000")
    shop.insert_class(id="4000.c")
    answer = shop.call("GET", f"loyaltyClass?issuerId={ISSUER_ID}").json()
    assert [entry["id"] for entry in answer["resources"]] == [CLASS_ID]
    refused = shop.call("GET", "loyaltyClass?issuerId=5000")
    assert error_of(refused) == (403, "permissionDenied")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("loyaltyObject", "required"),
        ("loyaltyClass", "required"),
        (f"loyaltyObject?classId={CLASS_ID}&maxResults=many", "invalidParameter"),
        (f"loyaltyObject?classId={CLASS_ID}&maxResults=-1", "invalidParameter"),
        (f"loyaltyObject?classId={CLASS_ID}&token=!", "invalidParameter"),
    ],
)
def test_list_parameters_are_checked(shop: Client, path: str, reason: str) -> None:
    """A list needs its filter and takes only sensible pages."""
    assert error_of(shop.call("GET", path)) == (400, reason)


def add_message(client: Client, path: str, **message: Any) -> Any:
    """Add a message."""
    return client.call("POST", f"{path}/addMessage", {"message": {"body": "Hi", **message}})


@pytest.mark.parametrize("path", [f"loyaltyObject/{OBJECT_ID}", f"loyaltyClass/{CLASS_ID}"])
def test_messages_are_added_up_to_ten(shop: Client, path: str) -> None:
    """addMessage appends and answers with the resource; the eleventh is refused."""
    for number in range(1, 11):
        answer = add_message(shop, path, id="same")
        assert len(answer.json()["resource"]["messages"]) == number
    assert error_of(add_message(shop, path)) == (400, "invalidResource")


def test_message_is_required(shop: Client) -> None:
    """addMessage without a message is refused."""
    response = shop.call("POST", f"loyaltyObject/{OBJECT_ID}/addMessage", {})
    assert error_of(response) == (400, "invalidResource")


def test_three_notifications_a_day(shop: Client) -> None:
    """The fourth TEXT_AND_NOTIFY within a day is refused, a silent message is not."""
    path = f"loyaltyObject/{OBJECT_ID}"
    for _ in range(3):
        assert add_message(shop, path, messageType="TEXT_AND_NOTIFY").status_code == 200
    refused = add_message(shop, path, messageType="TEXT_AND_NOTIFY")
    assert error_of(refused) == (403, "quotaExceeded")
    assert add_message(shop, path, messageType="TEXT").status_code == 200
