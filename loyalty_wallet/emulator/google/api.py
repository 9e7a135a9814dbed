"""The Wallet API itself: what each call does to the stored classes and objects."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from . import dialect, rules
from .errors import (
    ClassNotFoundError,
    InvalidParameterError,
    InvalidResourceError,
    MalformedBodyError,
    MissingParameterError,
    PermissionDeniedError,
    UnknownPathError,
)
from .log import LoggedRequest
from .routes import Route
from .rules import Resource
from .store import Shelf, as_kept, merged, without_nulls

# The field of LoyaltyClass and LoyaltyObject that lists are asked by.
LIST_PARAMETERS = {"class": "issuerId", "object": "classId"}


@dataclass(slots=True, kw_only=True)
class WalletApi:
    """Answers calls about classes and objects; raises GoogleApiError for what Google refuses."""

    allowed_issuers: set[str]
    approves_classes: bool = True
    classes: Shelf = field(default_factory=lambda: Shelf("class"))
    objects: Shelf = field(default_factory=lambda: Shelf("object"))
    _class_references: dict[str, tuple[Resource, Resource]] = field(default_factory=dict)

    def handle(self, request: LoggedRequest, route: Route, *, has_nulls: bool) -> bytes:
        """Return the body of the answer."""
        call = CALLS.get((request.method, route.resource_id is not None, route.verb))
        if call is None or route.kind is None:
            raise UnknownPathError(f"No method {request.method} {request.path}.")
        # Read before the call: a senseless selection must not leave a write behind.
        selection = _selection(request)
        answer = call(self, request, has_nulls)
        if selection:
            answer = dialect.select(answer, selection)
        if request.query.get("prettyPrint") == "false":
            return dialect.encode_compact(answer).encode()
        return dialect.encode_pretty(answer).encode()

    def get(self, request: LoggedRequest, _: bool) -> Resource:
        """Return one resource."""
        resource_id = self._permitted_id(request)
        return self._answered(request, self._shelf(request).get(resource_id))

    def insert(self, request: LoggedRequest, has_nulls: bool) -> Resource:
        """Create a resource under a new id."""
        body = _checked_body(request, has_nulls)
        rules.require(body, _required(request))
        resource_id: str = body["id"]
        self._permit(resource_id)
        kept = self._settled(request, None, body)
        shelf = self._shelf(request)
        shelf.refuse_duplicate(resource_id)
        shelf.put(resource_id, kept)
        return self._answered(request, kept)

    def patch(self, request: LoggedRequest, has_nulls: bool) -> Resource:
        """Change the sent top-level fields of a resource."""
        resource_id = self._permitted_id(request)
        body = _checked_body(request, has_nulls)
        shelf = self._shelf(request)
        stored = shelf.get(resource_id)
        kept = self._settled(request, stored, body)
        rules.require(kept, _required(request))
        shelf.put(resource_id, kept)
        return self._answered(request, kept)

    def update(self, request: LoggedRequest, has_nulls: bool) -> Resource:
        """Replace a resource."""
        resource_id = self._permitted_id(request)
        body = {"id": resource_id, **_checked_body(request, has_nulls)}
        rules.require(body, _required(request))
        shelf = self._shelf(request)
        stored = shelf.get(resource_id)
        # PUT clears what is left out, except for what only Google may set.
        omitted = dict.fromkeys(stored.keys() - body.keys() - {"hasUsers", "hasLinkedDevice"})
        kept = self._settled(request, stored, {**omitted, **body})
        shelf.put(resource_id, kept)
        return self._answered(request, kept)

    def add_message(self, request: LoggedRequest, has_nulls: bool) -> Resource:
        """Add one message to a resource."""
        resource_id = self._permitted_id(request)
        body = _json_object(request.body)
        rules.check_message_request(body)
        rules.require(body, ("message",))
        shelf = self._shelf(request)
        stored = shelf.get(resource_id)
        message = without_nulls(body["message"]) if has_nulls else body["message"]
        messages = [*stored.get("messages", ()), message]
        if len(messages) > rules.MAX_MESSAGES:
            raise InvalidResourceError(f"At most {rules.MAX_MESSAGES} messages are allowed.")
        if message.get("messageType") == "TEXT_AND_NOTIFY":
            shelf.spend_notification(resource_id)
        kept = {**stored, "messages": messages}
        shelf.put(resource_id, kept)
        return {"resource": self._rendered(request, kept)}

    def list_page(self, request: LoggedRequest, _: bool) -> Resource:
        """Return one page of an issuer's classes or of a class's objects."""
        parameter = LIST_PARAMETERS[request.kind or ""]
        wanted = request.query.get(parameter)
        if not wanted:
            raise MissingParameterError(f"Required parameter: {parameter}")
        if request.kind == "class":
            self._permit(f"{wanted}.any")
        else:
            self._permit(wanted)
        stored = self._shelf(request).resources.values()
        if request.kind == "class":
            found = [entry for entry in stored if entry["id"].startswith(f"{wanted}.")]
        else:
            found = [entry for entry in stored if entry["classId"] == wanted]
        start, size = _page(request, len(found))
        page = list(islice(found, start, start + size))
        pagination: Resource = {
            "kind": "walletobjects#pagination",
            "resultsPerPage": len(page),
        }
        if start + size < len(found):
            pagination["nextPageToken"] = base64.urlsafe_b64encode(b"%d" % (start + size)).decode()
        return {
            "resources": [self._rendered(request, entry) for entry in page],
            "pagination": pagination,
        }

    def _settled(
        self, request: LoggedRequest, stored: Resource | None, patch: Resource
    ) -> Resource:
        """Return the resource after a write, once every rule about the write holds."""
        if stored is not None and patch.get("id", stored["id"]) != stored["id"]:
            raise InvalidResourceError("The id in the body differs from the id in the path.")
        kept = merged(stored or {}, as_kept(patch))
        if request.kind == "object":
            if stored is None or "classId" in patch:
                self._require_usable_class(patch.get("classId") or "")
            return kept
        rules.check_review_status(patch, stored)
        if self.approves_classes and kept.get("reviewStatus") in ("UNDER_REVIEW", "underReview"):
            kept["reviewStatus"] = "APPROVED"
        return kept

    def _require_usable_class(self, class_id: str) -> None:
        rules.issuer_of(class_id)
        loyalty_class = self.classes.resources.get(class_id)
        if loyalty_class is None:
            raise ClassNotFoundError(f"Loyalty class {class_id} not found.")
        if loyalty_class.get("reviewStatus") in rules.DRAFT_STATUSES:
            raise InvalidResourceError(
                f"Class {class_id} is a draft: a draft class cannot be used to create any object."
            )

    def _permitted_id(self, request: LoggedRequest) -> str:
        resource_id = request.resource_id or ""
        self._permit(resource_id)
        return resource_id

    def may_edit(self, resource_id: str) -> bool:
        """Say whether the service account may edit a resource; raise for an id that is none."""
        return rules.issuer_of(resource_id) in self.allowed_issuers

    def _permit(self, resource_id: str) -> None:
        if not self.may_edit(resource_id):
            raise PermissionDeniedError("Permission denied.")

    def _shelf(self, request: LoggedRequest) -> Shelf:
        return self.objects if request.kind == "object" else self.classes

    def _answered(self, request: LoggedRequest, stored: Resource) -> Resource:
        return self._rendered(request, stored, _selection(request))

    def _rendered(
        self, request: LoggedRequest, stored: Resource, selection: dialect.Selection | None = None
    ) -> Resource:
        if request.kind == "class":
            return dialect.render_class(stored, selection)
        class_reference = self._class_reference(stored.get("classId", ""))
        return dialect.render_object(stored, class_reference, selection)

    def _class_reference(self, class_id: str) -> Resource | None:
        stored = self.classes.resources.get(class_id)
        if stored is None:
            return None
        known = self._class_references.get(class_id)
        if known is None or known[0] is not stored:
            known = self._class_references[class_id] = (stored, dialect.render_class(stored))
        return known[1]


Call = Callable[[WalletApi, LoggedRequest, bool], Resource]

CALLS: dict[tuple[str, bool, str], Call] = {
    ("GET", True, ""): WalletApi.get,
    ("GET", False, ""): WalletApi.list_page,
    ("POST", False, ""): WalletApi.insert,
    ("PATCH", True, ""): WalletApi.patch,
    ("PUT", True, ""): WalletApi.update,
    ("POST", True, "addMessage"): WalletApi.add_message,
}


def _selection(request: LoggedRequest) -> dialect.Selection | None:
    fields = request.query.get("fields")
    return dialect.parse_fields(fields) if fields else None


def _json_object(body: Any) -> Resource:
    if not isinstance(body, dict):
        raise MalformedBodyError("Parse Error: the body is not a JSON object.")
    return body


def _checked_body(request: LoggedRequest, has_nulls: bool) -> Resource:
    body = _json_object(request.body)
    (rules.check_object if request.kind == "object" else rules.check_class)(body)
    if not has_nulls:
        return body
    return {name: without_nulls(value) for name, value in body.items()}


def _required(request: LoggedRequest) -> tuple[str, ...]:
    return rules.OBJECT_REQUIRED if request.kind == "object" else rules.CLASS_REQUIRED


def _page(request: LoggedRequest, total: int) -> tuple[int, int]:
    try:
        size = int(request.query.get("maxResults", total))
        token = request.query.get("token")
        start = int(base64.urlsafe_b64decode(token)) if token else 0
    except ValueError:
        raise InvalidParameterError("Invalid value for maxResults or token.") from None
    if size < 0 or start < 0 or (size == 0 and total):
        raise InvalidParameterError("Invalid value for maxResults or token.")
    return start, size
