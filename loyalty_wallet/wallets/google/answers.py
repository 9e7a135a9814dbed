"""What an answer of Google's means: one place that turns status, reason and domain into an error.

Google's envelope is `{"error": {"code", "message", "errors": [{"message", "domain", "reason"}],
"status"}}`, with `status` only from its quota and front-end layers. The text is never judged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from ...exceptions import (
    DeliveryError,
    ForbiddenError,
    MisconfiguredError,
    NotFoundError,
    NotificationQuotaError,
    RateLimitedError,
    RejectedError,
    UnauthorizedError,
    UnavailableError,
)

RATE_REASONS = frozenset({"rateLimitExceeded", "userRateLimitExceeded"})


class AlreadyExistsError(RejectedError):
    """An insert met an object that is there already (409)."""


_FAILURES: dict[HTTPStatus, type[DeliveryError]] = {
    HTTPStatus.UNAUTHORIZED: UnauthorizedError,
    HTTPStatus.NOT_FOUND: NotFoundError,
    HTTPStatus.REQUEST_TIMEOUT: UnavailableError,
    HTTPStatus.CONFLICT: AlreadyExistsError,
    HTTPStatus.TOO_EARLY: UnavailableError,
    HTTPStatus.TOO_MANY_REQUESTS: RateLimitedError,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorBody:
    """What an error envelope says, as far as it can be read."""

    message: str = ""
    reason: str = ""
    domain: str = ""
    status: str = ""

    @classmethod
    def parse(cls, body: bytes) -> ErrorBody:
        """Read an envelope; anything else gives an empty one."""
        try:
            error = json.loads(body)["error"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return cls()
        if not isinstance(error, dict):
            return cls(message=str(error))
        details = error.get("errors")
        first = details[0] if isinstance(details, list) and details else {}
        first = first if isinstance(first, dict) else {}
        return cls(
            message=str(error.get("message") or ""),
            reason=str(first.get("reason") or ""),
            domain=str(first.get("domain") or ""),
            status=str(error.get("status") or ""),
        )


def read_resource(body: bytes, *, status: int, resource_id: str) -> dict[str, Any]:
    """Return the resource of a 2xx answer; unknown fields and spellings are fine.

    Raises UnavailableError when it is not a JSON object about `resource_id`: a proxy's page or a
    torn answer must never count as a success.
    """
    resource = read_answer(body, status=status)
    if resource.get("id", resource_id) != resource_id:
        raise UnavailableError("The answer is about another resource.", http_status=status)
    return resource


def read_page(body: bytes, *, status: int) -> tuple[list[dict[str, Any]], str]:
    """Return the resources of a 2xx answer to a list, and the token of the page that follows.

    Raises UnavailableError for what is no page: it must never count as an empty one.
    """
    page = read_answer(body, status=status)
    resources, pagination = page.get("resources", []), page.get("pagination", {})
    if not (
        isinstance(resources, list)
        and all(isinstance(found, dict) and isinstance(found.get("id"), str) for found in resources)
        and isinstance(pagination, dict)
    ):
        raise UnavailableError("The answer is not a list of resources.", http_status=status)
    return resources, str(pagination.get("nextPageToken") or "")


def read_answer(body: bytes, *, status: int) -> dict[str, Any]:
    """Return the JSON object of a 2xx answer. Raises UnavailableError for anything else."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnavailableError("The answer is not JSON.", http_status=status) from error
    if not isinstance(content, dict) or "error" in content:
        raise UnavailableError("The answer is not a resource.", http_status=status)
    return content


def error_for(status: int, headers: Mapping[str, str], body: bytes) -> DeliveryError:
    """Return the error that an answer other than 2xx stands for."""
    said = ErrorBody.parse(body)
    failure = _failure_for(status, said)
    phrase = said.message or f"HTTP {status} {_phrase(status)}".strip()
    return failure(
        phrase,
        http_status=status,
        reason=said.reason or said.status,
        retry_after_seconds=retry_after_seconds(headers.get("Retry-After")),
    )


def _failure_for(status: int, said: ErrorBody) -> type[DeliveryError]:
    if status == HTTPStatus.FORBIDDEN:
        return _failure_for_forbidden(said)
    if status in _FAILURES:
        return _FAILURES[HTTPStatus(status)]
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return UnavailableError
    # Redirects are never followed: the token must not be sent to another host.
    return RejectedError if status >= HTTPStatus.BAD_REQUEST else MisconfiguredError


def _failure_for_forbidden(said: ErrorBody) -> type[DeliveryError]:
    if said.reason in RATE_REASONS or said.status == "RESOURCE_EXHAUSTED":
        return RateLimitedError
    if said.reason == "backendError":
        return UnavailableError
    # Google caps notifications with 403, not 429; only its Wallet domain means that.
    if said.reason == "quotaExceeded" and said.domain == "walletobjects":
        return NotificationQuotaError
    return ForbiddenError


def retry_after_seconds(value: str | None) -> float | None:
    """Read a Retry-After header: seconds or an HTTP date; None if absent, past or unreadable."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - datetime.now(UTC)).total_seconds()
    # Not `seconds <= 0`, which "nan" would pass.
    return seconds if 0 < seconds < float("inf") else None


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
