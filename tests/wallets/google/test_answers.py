"""What an answer of Google's means, judged by status, reason and domain and never by its words."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from loyalty_wallet.exceptions import (
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
from loyalty_wallet.wallets.google.answers import (
    AlreadyExistsError,
    error_for,
    read_page,
    read_resource,
    retry_after_seconds,
)


def envelope(reason: str = "", domain: str = "walletobjects", **error: Any) -> bytes:
    """Return Google's envelope around a reason."""
    detail = {"message": "m", "domain": domain, "reason": reason}
    return json.dumps({"error": {"message": "m", "errors": [detail], **error}}).encode()


def statused(status: str) -> bytes:
    """Return the envelope of the layers before the Wallet API."""
    return json.dumps({"error": {"code": 0, "message": "m", "status": status}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, envelope("invalidResource"), RejectedError),
        (400, envelope("badRequest", "global"), RejectedError),
        (400, envelope("parseError", "global"), RejectedError),
        (401, envelope("authError", "global"), UnauthorizedError),
        (401, b'[{"message": "Login Required.", "reason": "required"}]', UnauthorizedError),
        (403, envelope("permissionDenied"), ForbiddenError),
        (403, envelope("insufficientPermissions", "global"), ForbiddenError),
        (403, envelope("accessNotConfigured", "usageLimits"), ForbiddenError),
        (403, statused("PERMISSION_DENIED"), ForbiddenError),
        (403, envelope("rateLimitExceeded", "usageLimits"), RateLimitedError),
        (403, envelope("userRateLimitExceeded", "usageLimits"), RateLimitedError),
        (403, statused("RESOURCE_EXHAUSTED"), RateLimitedError),
        (403, envelope("backendError", "global"), UnavailableError),
        (403, envelope("quotaExceeded"), NotificationQuotaError),
        (403, envelope("quotaExceeded", "usageLimits"), ForbiddenError),
        (403, b"", ForbiddenError),
        (404, envelope("resourceNotFound"), NotFoundError),
        (404, envelope("classNotFound"), NotFoundError),
        (408, b"", UnavailableError),
        (409, envelope("alreadyExists"), AlreadyExistsError),
        (412, b"", RejectedError),
        (413, b"", RejectedError),
        (425, b"", UnavailableError),
        (429, envelope("rateLimitExceeded", "global"), RateLimitedError),
        (429, statused("RESOURCE_EXHAUSTED"), RateLimitedError),
        (429, b"<html>Slow down</html>", RateLimitedError),
        (500, envelope("backendError", "global"), UnavailableError),
        (502, b"<html>Bad gateway</html>", UnavailableError),
        (503, statused("UNAVAILABLE"), UnavailableError),
        (504, b"", UnavailableError),
        (599, b"", UnavailableError),
        (300, b"", MisconfiguredError),
        (301, b"", MisconfiguredError),
        (304, b"", MisconfiguredError),
        (307, b"", MisconfiguredError),
    ],
)
def test_answer_becomes_one_failure(
    status: int, body: bytes, expected: type[DeliveryError]
) -> None:
    """Each documented and each observed refusal is one failure of the closed list."""
    error = error_for(status, {}, body)
    assert type(error) is expected
    assert error.http_status == status


@pytest.mark.parametrize(
    "message",
    [
        "rateLimitExceeded",
        "Quota exceeded for issuer 1 when adding TEXT_AND_NOTIFY message to class 2",
        "503 backendError, try again later",
        "Not found",
    ],
)
def test_words_are_never_judged(message: str) -> None:
    """The message may say what it likes: a 403 without a reason that we know is `forbidden`."""
    body = json.dumps({"error": {"code": 429, "message": message}}).encode()
    error = error_for(403, {}, body)
    assert type(error) is ForbiddenError
    assert error.message == message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"7",
        b'"error"',
        b"[]",
        b"[1]",
        b"{}",
        b'{"error": null}',
        b'{"error": "invalid_grant"}',
        b'{"error": []}',
        b'{"error": {}}',
        b'{"error": {"errors": []}}',
        b'{"error": {"errors": {}}}',
        b'{"error": {"errors": [null]}}',
        b'{"error": {"errors": ["rateLimitExceeded"]}}',
        b'{"error": {"errors": [{"reason": 7}]}}',
        b'{"error": {"message": ["a"], "status": {}}}',
        b'{"error": {"message": "half',
        b"<!doctype html><title>Sign in</title>",
        b"\xff\xfe\x00",
        b"\x1f\x8b\x08",
    ],
)
@pytest.mark.parametrize("status", [400, 403, 503])
def test_unreadable_body_leaves_the_status(status: int, body: bytes) -> None:
    """Whatever the body is, the status decides, and there is always something to read."""
    expected = {400: RejectedError, 403: ForbiddenError, 503: UnavailableError}
    error = error_for(status, {}, body)
    assert type(error) is expected[status]
    assert error.message


def test_message_and_reason_come_from_google() -> None:
    """A person reads Google's own words, and the reason that it gave."""
    error = error_for(400, {}, envelope("invalidResource", message="Not allowlisted."))
    assert (error.message, error.reason) == ("Not allowlisted.", "invalidResource")
    assert error_for(503, {}, statused("UNAVAILABLE")).reason == "UNAVAILABLE"
    assert error_for(502, {}, b"<html>").message == "HTTP 502 Bad Gateway"
    assert error_for(599, {}, b"").message == "HTTP 599"


def test_message_is_redacted() -> None:
    """What Google echoes of a token or an address is not passed on."""
    body = envelope("authError", message="Bad token ya29.s3cr3t of ada@shop.example")
    assert error_for(401, {}, body).message == "Bad token [redacted] of [redacted]"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2", 2),
        ("1.5", 1.5),
        ("1", 1),
        ("0.5", 0.5),
        (" 7 ", 7),
        ("86400", 86400),
        (None, None),
        ("", None),
        ("0", None),
        ("-5", None),
        ("nan", None),
        ("inf", None),
        ("-inf", None),
        ("1e999", None),
        ("soon", None),
        ("2 seconds", None),
        ("\x00", None),
        ("Fri, 99 Foo 2030 25:00:00 GMT", None),
        ("Mon, 01 Jan 2001 00:00:00 GMT", None),
    ],
)
def test_retry_after_is_seconds(value: str | None, expected: float | None) -> None:
    """Positive seconds are taken; what is past, absent or no time at all is none."""
    assert retry_after_seconds(value) == expected


@pytest.mark.parametrize("zone", ["GMT", "-0000", "+0000"])
def test_retry_after_is_a_date(zone: str) -> None:
    """An HTTP date is a moment; a date without a zone is in UTC."""
    moment = datetime.now(UTC) + timedelta(seconds=30)
    value = format_datetime(moment, usegmt=True).replace("GMT", zone)
    seconds = retry_after_seconds(value)
    assert seconds is not None
    assert 25 < seconds <= 30


def test_retry_after_goes_with_any_failure() -> None:
    """A 503 may ask for a pause as well as a 429."""
    for status in (429, 503):
        assert error_for(status, {"Retry-After": "3"}, b"").retry_after_seconds == 3


@pytest.mark.parametrize(
    "body",
    [
        b'{"id": "1.a"}',
        b'{"id": "1.a", "state": "active", "fieldAddedLater": {"x": [1]}}',
        b' \n{"kind": "walletobjects#loyaltyObject", "id": "1.a"}\n',
    ],
)
def test_resource_is_read_whatever_else_it_has(body: bytes) -> None:
    """Unknown fields and other spellings of what we sent do no harm."""
    assert read_resource(body, status=200, resource_id="1.a")["id"] == "1.a"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"id": "1.a"',
        b"null",
        b"true",
        b"[]",
        b'[{"id": "1.a"}]',
        b'"1.a"',
        b'{"id": "1.b"}',
        b'{"id": null}',
        b"<!doctype html><title>Sign in</title>",
        b"\xff\xfe",
    ],
)
def test_what_is_no_answer_is_no_success(body: bytes) -> None:
    """A proxy's page, a torn body or another resource is retried, never taken for success."""
    with pytest.raises(UnavailableError) as refusal:
        read_resource(body, status=200, resource_id="1.a")
    assert refusal.value.http_status == 200
    assert refusal.value.is_retryable


@pytest.mark.parametrize(
    "value", ["Mon, 01 Jan 99999999999 00:00:00 GMT", "Mon, 01 Jan 2035 00:00:00 +99999999"]
)
def test_retry_after_that_is_no_moment_is_ignored(value: str) -> None:
    """A date out of all bounds is no reason to fail otherwise."""
    assert error_for(503, {"Retry-After": value}, b"").code == "unavailable"


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"error":' * 100_000])
def test_deep_answers_break_nothing(body: bytes) -> None:
    """Neither as an error nor as a resource."""
    assert error_for(400, {}, body).code == "rejected"
    with pytest.raises(UnavailableError):
        read_resource(body, status=200, resource_id="1.a")


def test_an_error_with_status_200_is_no_success() -> None:
    """A front end that answers 200 with an error envelope has done nothing for us."""
    with pytest.raises(UnavailableError):
        read_resource(b'{"error": {"code": 500}}', status=200, resource_id="1.a")


def test_a_page_is_its_resources_and_the_next_token() -> None:
    """The last page has no token, an empty program no resources."""
    first = b'{"resources": [{"id": "1.a"}], "pagination": {"nextPageToken": "n2"}}'
    assert read_page(first, status=200) == ([{"id": "1.a"}], "n2")
    assert read_page(b'{"pagination": {"resultsPerPage": 0}}', status=200) == ([], "")
    assert read_page(b'{"pagination": {"nextPageToken": null}}', status=200) == ([], "")
    assert read_page(b"{}", status=200) == ([], "")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"error": {}}',
        b'{"resources": {}}',
        b'{"resources": [1]}',
        b'{"resources": [{}]}',
        b'{"resources": [{"id": "1.a"}, {"id": 7}]}',
        b'{"resources": [], "pagination": []}',
    ],
)
def test_what_is_no_page_is_no_empty_page(body: bytes) -> None:
    """An audit must not take a torn page for the end of the list."""
    with pytest.raises(UnavailableError) as refusal:
        read_page(body, status=206)
    assert refusal.value.http_status == 206


def test_an_answer_that_does_not_say_about_what_is_about_what_was_asked() -> None:
    """Nobody promised the id in an answer to a request for some fields."""
    assert read_resource(b'{"state": "ACTIVE"}', status=200, resource_id="1.a") == {
        "state": "ACTIVE"
    }


def test_an_empty_envelope_says_nothing() -> None:
    """Then the person reads the status, and no reason is made up."""
    error = error_for(503, {}, b'{"error": {"errors": [{}]}}')
    assert (error.message, error.reason) == ("HTTP 503 Service Unavailable", "")


def test_an_error_that_is_a_word_is_what_a_person_reads() -> None:
    """The token endpoint's kind of envelope."""
    assert error_for(400, {}, b'{"error": "invalid_grant"}').message == "invalid_grant"


def test_the_first_detail_counts() -> None:
    """Google's reason is that of the first entry; the envelope's status stands in for none."""
    details = [{"reason": "backendError"}, {"reason": "rateLimitExceeded"}]
    body = json.dumps({"error": {"errors": details, "status": "PERMISSION_DENIED"}}).encode()
    error = error_for(403, {}, body)
    assert (type(error), error.reason) == (UnavailableError, "backendError")
