"""Cards in Apple's terms; the only place with Apple's field names.

Rules are Apple's documented ones (Pass, Store Card and PassFieldContent references). The same
card gives the same pass.json: a phone takes any difference for a new version.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ...cards import Barcode, BarcodeFormat, Card
from ...colors import Color, is_hex, legible_on, parse_hex
from ...exceptions import InvalidCardError, gettext_noop
from .. import words
from ..base import Payload

LARGEST_NUMBER = 2**53
"""Numbers in JSON are doubles on the phone; beyond this they are not exact."""

LABELS = {
    "storeCard.headerFields.points.value": gettext_noop("Points"),
    "storeCard.headerFields.stamps.value": gettext_noop("Stamps"),
    "storeCard.secondaryFields.stamps.value": gettext_noop("Stamps"),
    "storeCard.auxiliaryFields.tier.value": gettext_noop("Tier"),
    "storeCard.secondaryFields.member.value": gettext_noop("Name"),
    "storeCard.backFields.card_number.value": gettext_noop("Card number"),
    "voided": gettext_noop("Void"),
    "expirationDate": gettext_noop("Valid until"),
    "storeCard.backFields.reward.value": gettext_noop("Reward"),
    "storeCard.headerFields.points.label": gettext_noop("Name of the points"),
    "barcodes.0.message": gettext_noop("Barcode"),
    "barcodes.0.altText": gettext_noop("Text below the barcode"),
    "description": gettext_noop("Program"),
    "organizationName": gettext_noop("Issuer"),
    "backgroundColor": gettext_noop("Background colour"),
    "webServiceURL": gettext_noop("Where phones fetch it"),
}
"""What people call these fields, in the order of reading."""

_SERIAL_NUMBER = re.compile(r"[A-Za-z0-9._~-]+")
_BARCODE_FORMATS = {
    BarcodeFormat.QR_CODE: "PKBarcodeFormatQR",
    BarcodeFormat.PDF_417: "PKBarcodeFormatPDF417",
    BarcodeFormat.AZTEC: "PKBarcodeFormatAztec",
    BarcodeFormat.CODE_128: "PKBarcodeFormatCode128",
}

_COLORS = ("backgroundColor", "foregroundColor", "labelColor")

Field = dict[str, Any]


def store_card(  # noqa: PLR0913
    card: Card,
    *,
    serial_number: str,
    pass_type_identifier: str,
    team_identifier: str,
    web_service_url: str,
    locations: Sequence[Mapping[str, Any]] = (),
    change_message: bool = True,
) -> Payload:
    """Return the pass.json of `card`, but for its authentication token.

    With `change_message` one field says on the lock screen that it has changed. Raises InvalidCardError, naming the field.
    """
    if not _SERIAL_NUMBER.fullmatch(serial_number):
        raise InvalidCardError(f"serialNumber: {serial_number!r} is not [A-Za-z0-9._~-]+.")
    program = card.program
    content: dict[str, Any] = {
        "formatVersion": 1,
        "passTypeIdentifier": pass_type_identifier,
        "serialNumber": serial_number,
        "teamIdentifier": team_identifier,
        "organizationName": _required("organizationName", program.issuer_name),
        "description": _required("description", program.name),
        "logoText": program.name,
        "webServiceURL": web_service_url,
        "sharingProhibited": True,
        "voided": not card.is_active,
        "storeCard": _fields(card) if change_message else _silenced(_fields(card)),
        **_colors(program.background_color),
    }
    if card.barcode:
        content["barcodes"] = [_barcode(card.barcode)]
    if locations:
        content["locations"] = [dict(location) for location in locations]
    if card.expires_at is not None:
        content["expirationDate"] = _moment("expirationDate", card.expires_at)
    return content


def blank_card(
    delivered: Mapping[str, Any],
    *,
    serial_number: str,
    pass_type_identifier: str,
    team_identifier: str,
    web_service_url: str,
) -> Payload:
    """Return a void pass.json of nobody; of `delivered`, its last one, the program's look stays."""
    kept = ("organizationName", "description", "logoText", *_COLORS)
    return {
        "formatVersion": 1,
        "passTypeIdentifier": pass_type_identifier,
        "serialNumber": serial_number,
        "teamIdentifier": team_identifier,
        # Apple requires both.
        "organizationName": "-",
        "description": "-",
        **{name: delivered[name] for name in kept if name in delivered},
        "webServiceURL": web_service_url,
        "sharingProhibited": True,
        "voided": True,
        "storeCard": {},
    }


def _fields(card: Card) -> dict[str, list[Field]]:
    """Return the fields by group. One of them speaks: with two, a phone says nothing of either."""
    program = card.program
    header, secondary, auxiliary = [], [], []
    if program.kind.has_points:
        header.append(_points(card))
        if program.kind.has_stamps:
            secondary.append(_stamps(card))
    else:
        header.append({**_stamps(card), "changeMessage": words.STAMPS_CHANGED})
    if card.holder_name:
        secondary.append(_text("member", words.MEMBER, card.holder_name))
    if card.tier:
        auxiliary.append(_text("tier", words.TIER, card.tier))
    back = [
        _text("program", words.PROGRAM, program.name),
        _text("card_number", words.CARD_NUMBER, card.card_number),
        _text("reward", words.REWARD, program.reward),
    ]
    return {
        "headerFields": header,
        "secondaryFields": secondary,
        "auxiliaryFields": auxiliary,
        "backFields": [field for field in back if field["value"]],
    }


def _silenced(groups: dict[str, list[Field]]) -> dict[str, list[Field]]:
    return {
        group: [
            {name: value for name, value in field.items() if name != "changeMessage"}
            for field in fields
        ]
        for group, fields in groups.items()
    }


def _points(card: Card) -> Field:
    label = _required("points label", card.program.points_label)
    changed = f"{label}: %@"
    return {
        "key": "points",
        "label": label,
        "value": _number("points", card.points_balance),
        "numberStyle": "PKNumberStyleDecimal",
        # A percent sign of the shop's own would be read as a second place to fill.
        "changeMessage": changed if changed.count("%") == 1 else "%@",
    }


def _stamps(card: Card) -> Field:
    stamps = _number("stamps", card.stamps)
    required = card.program.stamps_required
    return _text("stamps", words.STAMPS, f"{stamps} / {required}" if required else str(stamps))


def _text(key: str, label: str, value: str) -> Field:
    return {"key": key, "label": label, "value": value}


def _number(field: str, value: int) -> int:
    if type(value) is not int:
        raise InvalidCardError(f"{field}: {value!r} is not a whole number.")
    if abs(value) > LARGEST_NUMBER:
        raise InvalidCardError(f"{field}: {value} is more than a phone can show exactly.")
    return value


def _moment(field: str, value: datetime) -> str:
    if value.tzinfo is None:
        raise InvalidCardError(f"{field}: {value} has no time zone.")
    try:
        return value.astimezone(UTC).isoformat(timespec="seconds")
    except OverflowError as error:
        raise InvalidCardError(f"{field}: {value} is no date in UTC.") from error


def _required(field: str, value: str) -> str:
    if not value:
        raise InvalidCardError(f"{field}: must not be empty.")
    return value


def _barcode(barcode: Barcode) -> dict[str, str]:
    drawn = {
        "format": _BARCODE_FORMATS[barcode.format],
        "message": _required("barcode", barcode.value),
        "messageEncoding": _encoding(barcode.value),
    }
    if barcode.text:
        drawn["altText"] = barcode.text
    return drawn


def _encoding(message: str) -> str:
    """Return what scanners expect if it can say the message; only then the other one."""
    try:
        message.encode("iso-8859-1")
    except UnicodeEncodeError:
        return "utf-8"
    return "iso-8859-1"


def _colors(background: str) -> dict[str, str]:
    """Return the background and what is legible on it, black or white, as WCAG measures contrast."""
    if not background:
        return {}
    if not is_hex(background):
        raise InvalidCardError("backgroundColor: must be #rgb or #rrggbb.")
    color = parse_hex(background)
    text = legible_on(color)
    return {
        "backgroundColor": _rgb(color),
        "foregroundColor": _rgb(text),
        "labelColor": _rgb(text),
    }


def _rgb(color: Color) -> str:
    return "rgb({}, {}, {})".format(*color)
