"""What an answer of APNs means, read without a connection."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from loyalty_wallet.exceptions import (
    DeliveryError,
    MisconfiguredError,
    RateLimitedError,
    UnavailableError,
)
from loyalty_wallet.wallets.apple.apns_answers import (
    PushReply,
    read_reason,
    reply_for,
)
from loyalty_wallet.wallets.base import PushAnswer

REFUSED = "APNs refuses all pushes"


def said(reason: object, **more: object) -> bytes:
    """Return the body of an answer."""
    return json.dumps({"reason": reason, **more}).encode()


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{", b"\xff", b'{"reason": 7}', b"[" * 100_000]
)
def test_a_body_without_a_reason_is_an_empty_one(body: bytes) -> None:
    """Then the status alone decides."""
    assert read_reason(body)[0] == ""
    assert isinstance(read_reason(body)[1], dict)


def test_what_else_the_body_says_is_kept() -> None:
    """A 410 says since when."""
    assert read_reason(said("Unregistered", timestamp=5)) == (
        "Unregistered",
        {"reason": "Unregistered", "timestamp": 5},
    )


@pytest.mark.parametrize(
    ("status", "body", "expected", "message"),
    [
        (403, b"", MisconfiguredError, f"{REFUSED}: the certificate or key was refused."),
        (403, said("New"), MisconfiguredError, f"{REFUSED}: the certificate or key was refused."),
        (
            403,
            said("Forbidden"),
            MisconfiguredError,
            f"{REFUSED}: the certificate or key may not push.",
        ),
        (
            400,
            said("BadTopic"),
            MisconfiguredError,
            f"{REFUSED}: the pass type identifier is not valid.",
        ),
        (
            429,
            said("TooManyProviderTokenUpdates"),
            RateLimitedError,
            "APNs got too many new push tokens: is the same key in use elsewhere?",
        ),
        (500, b"", UnavailableError, "APNs answered 500."),
        (503, said("Shutdown"), UnavailableError, "APNs answered 503 Shutdown."),
        (199, b"", UnavailableError, "APNs answered 199."),
    ],
)
def test_what_no_device_is_to_blame_for(
    status: int, body: bytes, expected: type[DeliveryError], message: str
) -> None:
    """The failure says what APNs said: status, reason, and a sentence."""
    with pytest.raises(expected) as caught:
        reply_for(status, {}, body)
    assert caught.value.message == message
    assert caught.value.http_status == status
    assert caught.value.reason == read_reason(body)[0]


@pytest.mark.parametrize(
    ("status", "body", "answer", "reason"),
    [
        (200, b"", PushAnswer.ACCEPTED, ""),
        (410, said("Unregistered"), PushAnswer.GONE, "Unregistered"),
        (410, b"", PushAnswer.GONE, "410"),
        (400, said("BadDeviceToken"), PushAnswer.BAD_TOKEN, "BadDeviceToken"),
        (400, said("DeviceTokenNotForTopic"), PushAnswer.BAD_TOKEN, "DeviceTokenNotForTopic"),
        (400, said("BadPriority"), PushAnswer.REFUSED, "BadPriority"),
        (413, b"", PushAnswer.REFUSED, "413"),
        (429, said("TooManyRequests"), PushAnswer.REFUSED, "TooManyRequests"),
        (201, b"", PushAnswer.REFUSED, "201"),
    ],
)
def test_what_is_said_of_one_device(
    status: int, body: bytes, answer: PushAnswer, reason: str
) -> None:
    """One device's answer, with Apple's own word for it, or else the status."""
    assert reply_for(status, {b"apns-id": b"A\xff"}, body) == PushReply(
        answer=answer, http_status=status, apns_id="A�", reason=reason
    )
    assert reply_for(status, {}, body).apns_id == ""


@pytest.mark.parametrize(
    ("timestamp", "since"),
    [
        (1_772_366_400_000, datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("1772366400500", datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)),
        ("soon", None),
        (None, None),
        (10**30, None),
    ],
)
def test_since_when_a_device_is_gone(timestamp: object, since: datetime | None) -> None:
    """Milliseconds, of a 410 alone; what is no moment is none."""
    body = said("Unregistered", timestamp=timestamp)
    assert reply_for(410, {}, body).gone_since == since
    assert reply_for(400, {}, body).gone_since is None


@pytest.mark.parametrize(
    ("status", "reason"), [(503, "Shutdown"), (429, "TooManyProviderTokenUpdates")]
)
@pytest.mark.parametrize(("value", "seconds"), [(b"7", 7), (b"soon", None), (None, None)])
def test_a_wish_to_wait_is_heard(
    status: int, reason: str, value: bytes | None, seconds: float | None
) -> None:
    """Retry-After is not documented for APNs; whoever sends it means it."""
    headers = {} if value is None else {b"retry-after": value}
    with pytest.raises((UnavailableError, RateLimitedError)) as caught:
        reply_for(status, headers, said(reason))
    assert caught.value.retry_after_seconds == seconds
