"""Cards and programs in Google's terms; the only place with Google's field names.

Rules are Google's documented ones (Loyalty object and class reference). A payload names every
field that is ours: None says that the field must be empty, so that a PATCH clears what an
earlier delivery set.
"""

from __future__ import annotations

import re
from datetime import UTC
from typing import Any

from ...cards import Barcode, BarcodeFormat, Card, Program
from ...colors import is_hex
from ...exceptions import InvalidCardError, gettext_noop
from ..base import Payload
from ..words import OF, REWARD, STAMPS, TIER, in_language

INT32_MAX = 2**31 - 1
INT32_MIN = -(2**31)
ID_LIMIT = 191
DEFAULT_LOGO_URL = (
    "https://storage.googleapis.com/wallet-lab-tools-codelab-artifacts-public/pass_google_logo.jpg"
)

LABELS = {
    "loyaltyPoints.balance.int": gettext_noop("Points"),
    "secondaryLoyaltyPoints.balance.string": gettext_noop("Stamps"),
    "textModulesData.tier.body": gettext_noop("Tier"),
    "accountName": gettext_noop("Name"),
    "accountId": gettext_noop("Card number"),
    "state": gettext_noop("State"),
    "validTimeInterval.end.date": gettext_noop("Valid until"),
    "textModulesData.reward.body": gettext_noop("Reward"),
    "loyaltyPoints.label": gettext_noop("Name of the points"),
    "barcode.value": gettext_noop("Barcode"),
    "barcode.alternateText": gettext_noop("Text below the barcode"),
    "program.programName": gettext_noop("Program"),
    "program.issuerName": gettext_noop("Issuer"),
    "program.programLogo.sourceUri.uri": gettext_noop("Logo"),
    "program.heroImage.sourceUri.uri": gettext_noop("Picture"),
    "program.hexBackgroundColor": gettext_noop("Background colour"),
}
"""What people call these fields, in the order of reading."""

MANY_HOLDERS = "MULTIPLE_HOLDERS"
HOLDERS = (MANY_HOLDERS, "ONE_USER_ALL_DEVICES", "ONE_USER_ONE_DEVICE")
"""Who may have one card on a phone, as Google spells it."""

OBJECT_FIELDS = (
    "id",
    "classId",
    "state",
    "accountId",
    "accountName",
    "loyaltyPoints",
    "secondaryLoyaltyPoints",
    "barcode",
    "textModulesData",
    "validTimeInterval",
)
"""The fields of an object that are ours; Google and others may set more of them."""

_ID = re.compile(r"[A-Za-z0-9._-]+")
_BARCODE_TYPES = {
    BarcodeFormat.QR_CODE: "QR_CODE",
    BarcodeFormat.PDF_417: "PDF_417",
    BarcodeFormat.AZTEC: "AZTEC",
    BarcodeFormat.CODE_128: "CODE_128",
}


def loyalty_object(card: Card, *, object_id: str, class_id: str, language: str = "en") -> Payload:
    """Return the LoyaltyObject of `card`. Raises InvalidCardError, naming the field."""
    kind = card.program.kind
    return {
        "id": checked_id("id", object_id),
        "classId": checked_id("classId", class_id),
        "state": _state(card),
        "accountId": card.card_number or None,
        "accountName": card.holder_name or None,
        "loyaltyPoints": _points(card) if kind.has_points else None,
        "secondaryLoyaltyPoints": _stamps(card, language) if kind.has_stamps else None,
        "barcode": _barcode(card.barcode) if card.barcode else None,
        "textModulesData": _text_modules(card, language),
        "validTimeInterval": _valid_until(card),
    }


def blank_object(*, object_id: str, class_id: str) -> Payload:
    """Return the LoyaltyObject of nobody: Google never deletes one, so it is emptied.

    What a shop told its customer in messages goes, too.
    """
    return {
        **dict.fromkeys(OBJECT_FIELDS),
        "id": checked_id("id", object_id),
        "classId": checked_id("classId", class_id),
        "state": "INACTIVE",
        "textModulesData": [],
        "messages": [],
    }


def loyalty_class(
    program: Program,
    *,
    class_id: str,
    default_logo_url: str = DEFAULT_LOGO_URL,
    callback_url: str = "",
    holders: str = "",
) -> Payload:
    """Return the LoyaltyClass of `program`. Raises InvalidCardError, naming the field.

    Without a `callback_url` or `holders` what the class has of them is left alone.

    The review status is UNDER_REVIEW on every write: Google accepts only that and DRAFT from us,
    approves on its own, and lets no object belong to a draft.
    """
    for field, value in (("issuerName", program.issuer_name), ("programName", program.name)):
        if not value:
            raise InvalidCardError(f"{field}: must not be empty.")
    if program.background_color and not is_hex(program.background_color):
        raise InvalidCardError("hexBackgroundColor: must be #rgb or #rrggbb.")
    hero = program.hero_image_url
    payload: dict[str, Any] = {
        "id": checked_id("id", class_id),
        "issuerName": program.issuer_name,
        "programName": program.name,
        "programLogo": _image("programLogo", program.logo_url or default_logo_url),
        "heroImage": _image("heroImage", hero) if hero else None,
        "hexBackgroundColor": program.background_color or None,
        "reviewStatus": "UNDER_REVIEW",
    }
    if callback_url:
        payload["callbackOptions"] = {"url": callback_url}
    if holders:
        payload["multipleDevicesAndHoldersAllowedStatus"] = holders
    return payload


def balances(payload: Payload) -> dict[str, int]:
    """Return the points and stamps of a LoyaltyObject by the fields that Google notifies of."""
    found = {}
    if points := payload.get("loyaltyPoints"):
        found["loyaltyPoints"] = int(points["balance"]["int"])
    if stamps := payload.get("secondaryLoyaltyPoints"):
        # As `_stamps` writes it: so many, or so many of those that are required.
        found["secondaryLoyaltyPoints"] = int(stamps["balance"]["string"].partition("/")[0])
    return found


def checked_id(field: str, value: str) -> str:
    """Return `value` if Google takes it as an id: `issuer.suffix` of letters, digits, `.`, `_`, `-`."""
    issuer, dot, suffix = value.partition(".")
    if not (issuer and dot and suffix and _ID.fullmatch(value)):
        raise InvalidCardError(
            f"{field}: {value!r} is not an issuer id, a dot and [A-Za-z0-9._-]+."
        )
    return value


def _state(card: Card) -> str:
    if not card.is_active:
        return "INACTIVE"
    # Google moves a card whose interval has ended by itself, but up to a day late.
    return "EXPIRED" if card.has_expired else "ACTIVE"


def _points(card: Card) -> dict[str, Any]:
    label = card.program.points_label
    if not label:
        raise InvalidCardError("loyaltyPoints.label: must not be empty.")
    return {
        "label": label,
        "balance": {"int": _int32("loyaltyPoints.balance", card.points_balance)},
    }


def _stamps(card: Card, language: str) -> dict[str, Any]:
    _int32("secondaryLoyaltyPoints.balance", card.stamps)
    required = card.program.stamps_required
    count = f"{card.stamps}/{required}" if required else str(card.stamps)
    return {"label": in_language(STAMPS, language), "balance": {"string": count}}


def _int32(field: str, value: int) -> int:
    if type(value) is not int:
        raise InvalidCardError(f"{field}: {value!r} is not a whole number.")
    if not INT32_MIN <= value <= INT32_MAX:
        raise InvalidCardError(f"{field}: {value} does not fit in 32 bits.")
    return value


def _barcode(barcode: Barcode) -> dict[str, Any]:
    if not barcode.value:
        raise InvalidCardError("barcode.value: must not be empty.")
    drawn = {"type": _BARCODE_TYPES[barcode.format], "value": barcode.value}
    if barcode.text:
        drawn["alternateText"] = barcode.text
    return drawn


def _text_modules(card: Card, language: str) -> list[dict[str, str]]:
    program = card.program
    texts = []
    if program.kind.has_stamps:
        count = str(card.stamps)
        if program.stamps_required:
            count = f"{card.stamps} {OF[language]} {program.stamps_required}"
        texts.append(("stamps", STAMPS, count))
    texts += [("reward", REWARD, program.reward), ("tier", TIER, card.tier)]
    return [
        {"id": name, "header": in_language(header, language), "body": body}
        for name, header, body in texts
        if body
    ]


def _valid_until(card: Card) -> dict[str, Any] | None:
    if card.expires_at is None:
        return None
    if card.expires_at.tzinfo is None:
        raise InvalidCardError("validTimeInterval.end: expires_at has no time zone.")
    return {"end": {"date": card.expires_at.astimezone(UTC).isoformat()}}


def _image(field: str, url: str) -> dict[str, Any]:
    if not re.match(r"https://[^/\s]+", url):
        raise InvalidCardError(f"{field}: {url!r} is not an https URL; Google fetches the image.")
    return {"sourceUri": {"uri": url}}
