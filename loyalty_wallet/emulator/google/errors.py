"""Every refusal of the emulated Google, and the two envelopes it answers them in."""

from __future__ import annotations

import json
from typing import ClassVar

# Which reason and domain Google names beside a status, for faults that order only a status.
REASONS_BY_STATUS: dict[int, tuple[str, str]] = {
    400: ("invalidResource", "walletobjects"),
    401: ("authError", "global"),
    403: ("permissionDenied", "walletobjects"),
    404: ("resourceNotFound", "walletobjects"),
    409: ("alreadyExists", "walletobjects"),
    429: ("rateLimitExceeded", "global"),
}
# Wallet's own errors carry no `status`; those of the layers before it do.
STATUS_NAMES = {429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}
BACKEND_ERROR = ("backendError", "global")


class GoogleApiError(Exception):
    """A request that the emulated Google refuses."""

    status: ClassVar[int] = 500
    reason: ClassVar[str] = "backendError"
    domain: ClassVar[str] = "walletobjects"
    extra: ClassVar[dict[str, str]] = {}

    def __init__(self, message: str, *, retry_after: float | str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after

    def payload(self) -> bytes:
        """Return the body in the v1 envelope."""
        return envelope(
            self.status,
            self.message,
            reason=self.reason,
            domain=self.domain,
            extra=self.extra,
        )


class MalformedBodyError(GoogleApiError):
    """The body is not a JSON object."""

    status = 400
    reason = "parseError"
    domain = "global"


class SchemaError(GoogleApiError):
    """A field is unknown or has the wrong type."""

    status = 400
    reason = "badRequest"

    def __init__(self, message: str, *, path: tuple[str, ...] = ()) -> None:
        super().__init__(f"{message} (at '{'.'.join(path)}')" if path else message)
        self.problem = message
        self.path = path

    def under(self, step: str) -> SchemaError:
        """Return the same error seen from the field that contains it."""
        return type(self)(self.problem, path=(step, *self.path))


class InvalidResourceError(SchemaError):
    """A resource breaks one of the rules that the schema cannot express."""

    reason = "invalidResource"


class MissingParameterError(GoogleApiError):
    """A query parameter that a list needs is missing."""

    status = 400
    reason = "required"
    domain = "global"


class InvalidParameterError(GoogleApiError):
    """A query parameter has a value that makes no sense."""

    status = 400
    reason = "invalidParameter"
    domain = "global"


class LoginRequiredError(GoogleApiError):
    """The request carries no access token."""

    status = 401
    reason = "required"
    domain = "global"
    extra = {"location": "Authorization", "locationType": "header"}


class InvalidTokenError(GoogleApiError):
    """The access token is unknown, expired or revoked."""

    status = 401
    reason = "authError"
    domain = "global"
    extra = {"location": "Authorization", "locationType": "header"}


class PermissionDeniedError(GoogleApiError):
    """The service account may not edit this issuer."""

    status = 403
    reason = "permissionDenied"


class NotificationQuotaError(GoogleApiError):
    """The resource has spent its three notifications of the last 24 hours."""

    status = 403
    reason = "quotaExceeded"


class ResourceNotFoundError(GoogleApiError):
    """No resource has this id (Google's NotFoundException)."""

    status = 404
    reason = "resourceNotFound"


class ClassNotFoundError(GoogleApiError):
    """An object names a class that does not exist (Google's IssuerClassNotFoundException)."""

    status = 404
    reason = "classNotFound"


class UnknownPathError(GoogleApiError):
    """Nothing answers this method and path."""

    status = 404
    reason = "notFound"
    domain = "global"


class AlreadyExistsError(GoogleApiError):
    """A resource with this id exists already (Google's AlreadyExistsException)."""

    status = 409
    reason = "alreadyExists"


class RateLimitError(GoogleApiError):
    """More requests per second than the quota allows."""

    status = 429
    reason = "rateLimitExceeded"
    domain = "global"


class OAuthError(Exception):
    """A request that the token endpoint refuses."""

    def __init__(self, error: str, description: str, *, status: int = 400) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = status

    def payload(self) -> bytes:
        """Return the body as RFC 6749, section 5.2, has it."""
        return json.dumps({"error": self.error, "error_description": self.description}).encode()


def envelope(
    status: int,
    message: str,
    *,
    reason: str | None = None,
    domain: str | None = None,
    extra: dict[str, str] | None = None,
) -> bytes:
    """Return an error body in Google's v1 envelope."""
    default_reason, default_domain = REASONS_BY_STATUS.get(status, BACKEND_ERROR)
    detail = {
        "message": message,
        "domain": domain or default_domain,
        "reason": reason or default_reason,
        **(extra or {}),
    }
    error: dict[str, object] = {"code": status, "message": message, "errors": [detail]}
    if status in STATUS_NAMES:
        error["status"] = STATUS_NAMES[status]
    return json.dumps({"error": error}, indent=2).encode()
