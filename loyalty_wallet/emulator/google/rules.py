"""What Google documents about loyalty classes and objects beyond field types."""

from __future__ import annotations

import re
from typing import Any

from .errors import InvalidResourceError
from .schema import compile_checks

Resource = dict[str, Any]

RESOURCE_ID = re.compile(r"[0-9]+\.[A-Za-z0-9._-]+", re.ASCII)
MODULE_ID = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
HEX_COLOR = re.compile(r"#(?:[0-9a-fA-F]{3}){1,2}", re.ASCII)
# A date without a time has no offset, so only what follows "T" is searched.
OFFSET = re.compile(r"T.*(?:Z|[+-][0-9]{2}:?[0-9]{2}(?::?[0-9]{2})?)$")

MAX_MESSAGES = 10
MAX_MERCHANT_LOCATIONS = 10
MAX_VALUE_ADDED_MODULES = 15

CLASS_REQUIRED = ("id", "issuerName", "programName", "programLogo", "reviewStatus")
OBJECT_REQUIRED = ("id", "classId", "state")
BALANCE_KINDS = ("int", "string", "double", "money")

SETTABLE_REVIEW_STATUSES = frozenset({"DRAFT", "draft", "UNDER_REVIEW", "underReview"})
DRAFT_STATUSES = frozenset({"DRAFT", "draft"})


def issuer_of(resource_id: str) -> str:
    """Return the issuer part of an id; raise for an id that Google would not take."""
    if not RESOURCE_ID.fullmatch(resource_id):
        raise InvalidResourceError(
            f"Invalid resource ID: {resource_id!r} is not ISSUER_ID.suffix with letters, digits,"
            " '.', '_' or '-'."
        )
    return resource_id.partition(".")[0]


def require(resource: Resource, fields: tuple[str, ...]) -> None:
    """Raise if a required field is missing or empty."""
    for field in fields:
        if resource.get(field) in (None, ""):
            raise InvalidResourceError(f"Missing required field: {field}.")


def check_review_status(sent: Resource, stored: Resource | None) -> None:
    """Raise unless the sent reviewStatus is one that an issuer may set now."""
    status = sent.get("reviewStatus")
    if status is None:
        return
    if status not in SETTABLE_REVIEW_STATUSES:
        raise InvalidResourceError(
            f"Invalid review status {status}: only draft or underReview can be set."
        )
    if stored and status in DRAFT_STATUSES and stored.get("reviewStatus") not in DRAFT_STATUSES:
        raise InvalidResourceError("Once a class has left draft it cannot go back to draft.")


def _image(image: Resource) -> None:
    uri = (image.get("sourceUri") or {}).get("uri")
    if bool(uri) == bool(image.get("privateImageId")):
        raise InvalidResourceError("An image needs exactly one of sourceUri and privateImageId.")


def _points(points: Resource) -> None:
    if points.get("balance") is None:
        raise InvalidResourceError("Missing required field: balance.")


def _balance(balance: Resource) -> None:
    kinds = [kind for kind in BALANCE_KINDS if balance.get(kind) is not None]
    if len(kinds) != 1:
        raise InvalidResourceError(
            f"A balance has exactly one of {', '.join(BALANCE_KINDS)}; got {len(kinds)}."
        )


def _text_module(module: Resource) -> None:
    module_id = module.get("id")
    if module_id and not MODULE_ID.fullmatch(module_id):
        raise InvalidResourceError(
            f"Invalid text module ID {module_id!r}: only letters, digits, '_' and '-' are allowed."
        )


def _message(message: Resource) -> None:
    if message.get("messageType") in ("EXPIRATION_NOTIFICATION", "expirationNotification"):
        raise InvalidResourceError("Message type EXPIRATION_NOTIFICATION is not supported.")


def _time_interval(interval: Resource) -> None:
    dates = [(interval.get(end) or {}).get("date") for end in ("start", "end")]
    if len({bool(OFFSET.search(date)) for date in dates if date}) > 1:
        raise InvalidResourceError("If start or end has an offset, both must have one.")


def _at_most(resource: Resource, field: str, limit: int) -> None:
    entries = resource.get(field)
    if entries and len(entries) > limit:
        raise InvalidResourceError(f"At most {limit} entries are allowed.", path=(field,))


def _both(resource: Resource) -> None:
    _at_most(resource, "messages", MAX_MESSAGES)
    _at_most(resource, "merchantLocations", MAX_MERCHANT_LOCATIONS)
    _at_most(resource, "valueAddedModuleData", MAX_VALUE_ADDED_MODULES)


def _loyalty_class(resource: Resource) -> None:
    _both(resource)
    color = resource.get("hexBackgroundColor")
    if color and not HEX_COLOR.fullmatch(color):
        raise InvalidResourceError(
            "Expected #rgb or #rrggbb.",
            path=("hexBackgroundColor",),
        )


CHECKS = compile_checks(
    {
        "Image": _image,
        "LoyaltyClass": _loyalty_class,
        "LoyaltyObject": _both,
        "LoyaltyPoints": _points,
        "LoyaltyPointsBalance": _balance,
        "Message": _message,
        "TextModuleData": _text_module,
        "TimeInterval": _time_interval,
    }
)
check_class = CHECKS["LoyaltyClass"]
check_object = CHECKS["LoyaltyObject"]
check_message_request = CHECKS["AddMessageRequest"]
