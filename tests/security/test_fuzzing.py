"""Whatever anybody sends to a door of ours: no 500, no cookie, and a bounded amount of work."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import AppleDeviceComplaint, GoogleCallback, LoyaltyCard, WalletPass
from tests.phonefront import PASS_TYPE, iphone_pass
from tests.shopfront import Configure

from .doors import PUBLIC

pytestmark = pytest.mark.django_db

MakeCards = Callable[[int], list[LoyaltyCard]]

TOKEN = "a-token-of-the-settings"
MOST_QUERIES = 30
"""For whatever is asked: what a request may cost does not grow with what is in it."""
PROMISED = {500, 501, 502, 504}
"""Never answered. 503 is our own: "later"."""

ODD = [
    "",
    "\x00",
    "\ud800",
    "..",
    "../../etc/passwd",
    "%2e%2e%2f",
    "%00",
    "a/b",
    "a\r\nSet-Cookie: x=1",
    "9" * 400,
    "x" * 9000,
    "ä",
    "\u202e",
    "{{7*7}}",
    "' OR 1=1 --",
    PASS_TYPE,
    "true",
    "-1",
    "1e400",
]
texts = st.sampled_from(ODD) | st.text(max_size=12)
jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
bodies = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [
            b"[" * 60_000,
            b'{"logs":' * 3000,
            b'{"logs": ["' + b"pass type " * 6000 + b'"]}',
            b"\xff\xfe" * 100,
            b"9" * 60_000,
            b'{"pushToken": NaN}',
            b"x" * 1_100_000,
        ]
    ),
    jsons.map(lambda content: json.dumps(content).encode()),
    st.fixed_dictionaries(
        dict.fromkeys(("signature", "intermediateSigningKey", "protocolVersion"), jsons)
        | {"signedMessage": jsons | jsons.map(json.dumps)}
    ).map(lambda content: json.dumps(content).encode()),
    st.builds(lambda content: json.dumps({"logs": content}).encode(), jsons),
    st.builds(lambda content: json.dumps({"pushToken": content}).encode(), jsons),
)
headers = st.fixed_dictionaries(
    {},
    optional={
        "Authorization": texts | texts.map("ApplePass {}".format) | texts.map("Bearer {}".format),
        "If-Modified-Since": texts,
        "Accept": texts
        | st.sampled_from(["application/openmetrics-text; version=9.9", ";q=;q=", "*/*" * 2000]),
        "Accept-Language": texts | st.just("de-" + "x-" * 3000),
        "User-Agent": texts | st.just("iPhone Android bot " * 4000),
        "Sec-Purpose": texts,
        "Content-Length": st.sampled_from(["-1", "1e3", "99999999999", "", "0x10"]),
        "Cookie": texts | st.just("sessionid=" + "a" * 5000),
        "X-Forwarded-For": texts,
        "Range": st.just("bytes=0-18446744073709551615"),
    },
)
requests = st.fixed_dictionaries(
    {
        "door": st.sampled_from(PUBLIC),
        "parts": st.lists(texts, min_size=3, max_size=3),
        "right_parts": st.booleans(),
        "right_token": st.booleans(),
        "method": st.sampled_from(["GET", "POST", "DELETE", "HEAD", "PUT", "OPTIONS", "TRACE"]),
        "query": st.dictionaries(texts | st.just("passesUpdatedSince"), texts, max_size=3),
        "content_type": st.sampled_from(
            ["application/json", "text/plain", "multipart/form-data; boundary=x", "", "a" * 3000]
        ),
        "body": bodies,
        "headers": headers,
    }
)
quick = settings(
    deadline=None,
    max_examples=60,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)

Knock = Callable[[dict[str, Any]], Any]


@pytest.fixture
def knock(
    configure: Configure, configure_apple: Callable[..., None], right_cards: MakeCards
) -> Knock:
    """Send a request to a door, and see to it that it is answered in order."""
    configure(STATUS_TOKEN=TOKEN)
    configure_apple()
    (card,) = right_cards(1)
    row = iphone_pass(card)
    signed = card.get_card_url().rstrip("/").rpartition("/")[2]
    right = {"signed": signed, "pass_type": PASS_TYPE, "serial_number": row.remote_id}
    apple = f"ApplePass {row.authentication_token}"

    def send(request: dict[str, Any]) -> Any:
        cache.clear()
        door = request["door"]
        names = list(door.pattern.converters)
        given_parts = dict(zip(names, request["parts"], strict=False))
        parts = {**given_parts, **(right if request["right_parts"] else {}), "device": "d" * 32}
        route = str(door.pattern)
        for name in names:
            route = route.replace(f"<str:{name}>", _encoded(parts[name]))
        root = "/wallet/apple/" if route.startswith("v1/") else "/wallet/"
        query = "&".join(f"{_encoded(k)}={_encoded(v)}" for k, v in request["query"].items())
        sent = {name: _as_header(value) for name, value in request["headers"].items()}
        if request["right_token"]:
            sent["Authorization"] = apple if "apple" in door.name else f"Bearer {TOKEN}"
        with CaptureQueriesContext(connection) as queries:
            # A client that raises what a view raises, rather than answering 500.
            answer = Client().generic(
                request["method"],
                f"{root}{route}?{query}",
                request["body"],
                content_type=request["content_type"],
                headers=sent,
            )
        assert answer.status_code not in PROMISED
        assert "Set-Cookie" not in answer.headers
        assert len(queries) <= MOST_QUERIES
        return answer

    return send


def _encoded(text: str) -> str:
    # What is encoded already travels as it is.
    safe = "%" if text.startswith("%") else ""
    return quote(text.encode("utf-8", "surrogatepass"), safe=safe) or "%20"


def _as_header(text: str) -> str:
    """Return a header as a server hands it on: bytes of any kind, no line breaks."""
    return (
        text.encode("utf-8", "surrogatepass").decode("latin-1").replace("\n", "").replace("\r", "")
    )


@quick
@given(requests)
def test_any_request(knock: Knock, what: dict[str, Any]) -> None:
    """Paths, queries, headers and bodies of every kind, at every door."""
    knock(what)


@pytest.mark.chaos
@settings(quick, max_examples=3000)
@given(requests)
def test_many_requests(knock: Knock, what: dict[str, Any]) -> None:
    """The same for minutes."""
    knock(what)


def test_the_worst_that_was_thought_of(knock: Knock) -> None:
    """Each door: a megabyte, deep JSON, a NUL, half a character, a way up, and an endless query."""
    base: dict[str, Any] = {
        "parts": ["x"] * 3,
        "right_parts": True,
        "right_token": True,
        "method": "POST",
        "query": {},
        "content_type": "application/json",
        "body": b"{}",
        "headers": {},
    }
    changes: list[dict[str, Any]] = [
        {"body": b"x" * 1_100_000},
        {"body": b"[" * 15_000},
        {"method": "GET", "query": {"passesUpdatedSince": "9" * 50_000, "fast": "\x00"}},
        {"method": "GET", "right_parts": False, "parts": ["\x00"] * 3},
        {"method": "GET", "right_parts": False, "parts": ["\ud800"] * 3},
        {"method": "GET", "right_parts": False, "parts": ["%2e%2e%2f%2e%2e"] * 3},
        {"method": "GET", "right_parts": False, "parts": ["x" * 100_000] * 3},
        {"method": "GET", "right_token": False, "headers": {"Authorization": "x" * 1_000_000}},
        {"headers": {"Content-Length": "-1"}},
    ]
    for door in PUBLIC:
        for change in changes:
            knock({**base, "door": door, **change})


def test_nothing_is_left_of_it(knock: Knock, google: GoogleEmulator) -> None:
    """A stranger's megabytes leave neither rows nor requests to a provider behind."""
    google._service.log.clear()
    before = list(WalletPass.objects.values())
    for door in PUBLIC:
        for method in ("GET", "POST", "DELETE"):
            knock(
                {
                    "door": door,
                    "parts": ["x"] * 3,
                    "right_parts": False,
                    "right_token": False,
                    "method": method,
                    "query": {},
                    "content_type": "application/json",
                    "body": json.dumps({"logs": ["x" * 60_000], "pushToken": "ab" * 32}).encode(),
                    "headers": {},
                }
            )
    assert list(WalletPass.objects.values()) == before
    assert google.object_requests == []
    assert not GoogleCallback.objects.exists()
    assert AppleDeviceComplaint.objects.count() == 1
