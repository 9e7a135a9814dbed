"""What APNs answers, and what follows from it.

Source: Apple, "Handling notification responses from APNs". A body may be missing; then the status
alone decides.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from ...exceptions import MisconfiguredError, RateLimitedError, UnavailableError
from ..base import PushAnswer

EXPIRED_PROVIDER_TOKEN = "ExpiredProviderToken"  # noqa: S105
IDLE_TIMEOUT = "IdleTimeout"
SHUTDOWN = "Shutdown"

_TOO_MANY_TOKEN_UPDATES = "TooManyProviderTokenUpdates"  # noqa: S105

_CONFIGURATION = {
    "BadTopic": "the pass type identifier is not valid",
    "MissingTopic": "the pass type identifier is missing",
    "TopicDisallowed": "the certificate or key may not push to this pass type",
    "BadCertificate": "the certificate is not valid",
    "BadCertificateEnvironment": "the certificate is for another environment",
    "Forbidden": "the certificate or key may not push",
    "InvalidProviderToken": "the push key, its id or the team is wrong, or the key was revoked",
    "MissingProviderToken": "neither certificate nor push key was accepted",
    "UnrelatedKeyIdInToken": "the push key belongs to another team or topic",
    "BadEnvironmentKeyIdInToken": "the push key is for another environment",
    EXPIRED_PROVIDER_TOKEN: "the push token is too old: is this machine's clock right?",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PushReply:
    """What APNs said to one push. `gone_since` is when it learnt that the token is dead."""

    answer: PushAnswer
    http_status: int
    apns_id: str = ""
    reason: str = ""
    gone_since: datetime | None = None


def read_reason(body: bytes) -> tuple[str, Mapping[str, Any]]:
    """Return the reason in an answer's body, and the body; empty where there is none."""
    if not body:
        return "", {}
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return "", {}
    if not isinstance(content, dict):
        return "", {}
    reason = content.get("reason")
    return (reason if isinstance(reason, str) else ""), content


def reply_for(status: int, headers: Mapping[bytes, bytes], body: bytes) -> PushReply:
    """Return what an answer says of the device.

    Raises UnavailableError or RateLimitedError where another attempt may help, and
    MisconfiguredError where none of the wallet's pushes can succeed.
    """
    reason, content = read_reason(body)
    if status == HTTPStatus.FORBIDDEN or reason in _CONFIGURATION:
        what = _CONFIGURATION.get(reason, "the certificate or key was refused")
        raise MisconfiguredError(
            f"APNs refuses all pushes: {what}.", http_status=status, reason=reason
        )
    if reason == _TOO_MANY_TOKEN_UPDATES:
        raise RateLimitedError(
            "APNs got too many new push tokens: is the same key in use elsewhere?",
            http_status=status,
            reason=reason,
            retry_after_seconds=_seconds(headers.get(b"retry-after")),
        )
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status < HTTPStatus.OK:
        raise UnavailableError(
            f"APNs answered {status} {reason}".strip() + ".",
            http_status=status,
            reason=reason,
            retry_after_seconds=_seconds(headers.get(b"retry-after")),
        )
    return PushReply(
        answer=_answer(status, reason),
        http_status=status,
        apns_id=headers.get(b"apns-id", b"").decode("ascii", "replace"),
        reason=reason or ("" if status == HTTPStatus.OK else str(status)),
        gone_since=_moment(content.get("timestamp")) if status == HTTPStatus.GONE else None,
    )


def _answer(status: int, reason: str) -> PushAnswer:
    if status == HTTPStatus.OK:
        return PushAnswer.ACCEPTED
    if status == HTTPStatus.GONE:
        return PushAnswer.GONE
    if reason in ("BadDeviceToken", "DeviceTokenNotForTopic"):
        # Both speak of one token, which a customer's own device has sent us.
        return PushAnswer.BAD_TOKEN
    # 429 for one token among them: it is told by a later run, never in a loop.
    return PushAnswer.REFUSED


def _moment(milliseconds: object) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(str(milliseconds)) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _seconds(value: bytes | None) -> float | None:
    return float(value) if value and value.isdigit() else None
