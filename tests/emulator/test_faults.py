"""Everything that can be ordered to go wrong, and what is applied when it does."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest
import requests

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.emulator.google.faults import Action

from .client import CLASS_ID, ISSUER_ID, OBJECT_ID, QUICK, Client, balance, error_of


def points(google: GoogleEmulator) -> int:
    """Return the stored balance, which is 5 before the test."""
    stored: int = google.objects[OBJECT_ID]["loyaltyPoints"]["balance"]["int"]
    return stored


def patch(shop: Client, **options: Any) -> requests.Response:
    """Set the balance to 6."""
    path = f"loyaltyObject/{OBJECT_ID}"
    return shop.call("PATCH", path, {"loyaltyPoints": balance(6)}, **options)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, "invalidResource"),
        (401, "authError"),
        (403, "permissionDenied"),
        (404, "resourceNotFound"),
        (409, "alreadyExists"),
        (429, "rateLimitExceeded"),
        (500, "backendError"),
        (502, "backendError"),
        (503, "backendError"),
        (504, "backendError"),
    ],
)
def test_status_in_googles_envelope(
    google: GoogleEmulator, shop: Client, status: int, reason: str
) -> None:
    """A failing status has the reason that Google gives with it, and applies nothing."""
    google.fail(status=status, times=1)
    assert error_of(patch(shop)) == (status, reason)
    assert points(google) == 5
    assert patch(shop).status_code == 200


def test_status_with_details(google: GoogleEmulator, shop: Client) -> None:
    """Reason, domain, message and Retry-After of a failure can be chosen."""
    google.fail(
        status=403, reason="quotaExceeded", domain="walletobjects", message="No.", retry_after=2.0
    )
    response = patch(shop)
    assert response.headers["Retry-After"] == "2"
    assert response.json()["error"] == {
        "code": 403,
        "message": "No.",
        "errors": [{"message": "No.", "domain": "walletobjects", "reason": "quotaExceeded"}],
    }


def test_apply_then_status(google: GoogleEmulator, shop: Client) -> None:
    """A write can take effect although its answer says otherwise."""
    google.misbehave("apply_then_status", status=500, times=1)
    assert patch(shop).status_code == 500
    assert points(google) == 6


@pytest.mark.parametrize(
    ("action", "applied"),
    [("close_before", False), ("close_after", True), ("reset_body", True)],
)
def test_closed_connections(
    google: GoogleEmulator, shop: Client, action: Action, applied: bool
) -> None:
    """A connection closes before the write, after it, or in the middle of the answer."""
    google.misbehave(action, times=1)
    with pytest.raises(requests.exceptions.RequestException):
        patch(shop)
    assert points(google) == (6 if applied else 5)
    assert google.requests[-1].status is None
    assert google.requests[-1].fault == action


@pytest.mark.parametrize(("action", "applied"), [("hang", False), ("apply_then_hang", True)])
def test_hang(google: GoogleEmulator, shop: Client, action: Action, applied: bool) -> None:
    """A hanging request is never answered, and stops counting when its client has gone."""
    google.misbehave(action, times=1)
    with pytest.raises(requests.exceptions.ReadTimeout):
        patch(shop, timeout=QUICK)
    assert points(google) == (6 if applied else 5)
    assert patch(shop).status_code == 200
    assert google.requests[-2].status is None
    assert google.max_in_flight_per_object == 1


def test_hang_can_end(google: GoogleEmulator, shop: Client) -> None:
    """A hang with a duration ends with a closed connection."""
    google.misbehave("hang", seconds=0.05, times=1)
    with pytest.raises(requests.exceptions.ConnectionError):
        patch(shop)


def test_stop_does_not_wait_for_hanging_requests(google: GoogleEmulator, shop: Client) -> None:
    """An emulator can be stopped at once, whatever hangs."""
    google.misbehave("hang")
    with pytest.raises(requests.exceptions.ReadTimeout):
        patch(shop, timeout=0.05)
    before = time.monotonic()
    google.stop()
    assert time.monotonic() - before < 1


def test_drip(google: GoogleEmulator, shop: Client) -> None:
    """A dripping answer keeps a client busy although each read succeeds."""
    google.misbehave("drip", seconds=0.05, times=1)
    response = patch(shop, stream=True, timeout=QUICK)
    assert response.raw.read(2) == b"{\n"
    response.close()
    assert points(google) == 6


def test_drip_ends_with_the_whole_answer(google: GoogleEmulator, shop: Client) -> None:
    """A patient client gets the whole answer."""
    google.misbehave("drip", seconds=0.0001, times=1)
    answer = shop.get_object("?fields=id&prettyPrint=false")
    assert answer.json() == {"id": OBJECT_ID}


def test_truncated(google: GoogleEmulator, shop: Client) -> None:
    """A truncated answer is good HTTP around half of the JSON."""
    google.misbehave("truncated", times=1)
    response = patch(shop)
    assert response.status_code == 200
    assert int(response.headers["Content-Length"]) == len(response.content)
    with pytest.raises(requests.exceptions.JSONDecodeError):
        response.json()


def test_html(google: GoogleEmulator, shop: Client) -> None:
    """A proxy in between answers 200 with a page of its own; Google never saw the request."""
    google.misbehave("html", times=1)
    response = patch(shop)
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/html")
    assert points(google) == 5


def test_redirect(google: GoogleEmulator, shop: Client) -> None:
    """A redirect points where the order says."""
    google.misbehave("redirect", location="http://127.0.0.2:1/", times=1)
    response = patch(shop)
    assert response.status_code == 307
    assert response.headers["Location"] == "http://127.0.0.2:1/"
    assert points(google) == 5


def test_latency_adds_to_another_fault(google: GoogleEmulator, shop: Client) -> None:
    """A late answer is still the answer, be it good or bad."""
    google.misbehave("latency", seconds=0.1, times=2)
    google.fail(times=1)
    for status in (503, 200):
        assert patch(shop).status_code == status
        entry = google.requests[-1]
        assert (entry.answered_at or 0) - entry.arrived_at >= 0.1


def test_a_late_write_is_applied_on_arrival(google: GoogleEmulator, shop: Client) -> None:
    """A client that gives up on a late answer has changed something nevertheless."""
    google.misbehave("latency", seconds=5, times=1)
    with pytest.raises(requests.exceptions.ReadTimeout):
        patch(shop, timeout=QUICK)
    assert points(google) == 6


def test_base_latency() -> None:
    """Every answer can be held up."""
    with GoogleEmulator(latency_seconds=0.3) as google:
        client = Client(google.url, google.service_account)
        with client.session:
            client.sign_in()
            google.set_latency(0)
            client.insert_class()
    waited = [(entry.answered_at or 0) - entry.arrived_at for entry in google.requests]
    assert waited[0] >= 0.3
    assert waited[1] < 0.3


@pytest.mark.parametrize(
    ("order", "hits"),
    [
        ({}, ["object", "other", "class"]),
        ({"object_id": OBJECT_ID}, ["object"]),
        ({"class_id": CLASS_ID}, ["class"]),
        ({"object_id": OBJECT_ID, "class_id": CLASS_ID}, ["object", "class"]),
        ({"endpoint": "object"}, ["object", "other"]),
        ({"endpoint": "class"}, ["class"]),
        ({"endpoint": "token"}, ["token"]),
        ({"endpoint": "any"}, ["object", "other", "class", "token"]),
        ({"method": "patch"}, ["object"]),
        ({"probability": 0.0}, []),
    ],
)
def test_matching(
    google: GoogleEmulator, shop: Client, order: dict[str, Any], hits: list[str]
) -> None:
    """A fault hits the requests that its order describes and no others."""
    other = f"{ISSUER_ID}.card-2"
    shop.insert_object(id=other)
    google.fail(**order)
    statuses = {
        "object": patch(shop).status_code,
        "other": shop.call("GET", f"loyaltyObject/{other}").status_code,
        "class": shop.call("GET", f"loyaltyClass/{CLASS_ID}").status_code,
        "token": shop.exchange().status_code,
    }
    assert [name for name, status in statuses.items() if status == 503] == hits


def test_insert_is_matched_by_the_id_in_its_body(google: GoogleEmulator, client: Client) -> None:
    """A fault for one object hits its insert, too."""
    client.insert_class()
    google.fail(object_id=OBJECT_ID, times=1)
    assert client.insert_object().status_code == 503
    assert client.insert_object().status_code == 200


def test_faults_act_in_the_order_of_their_ordering(google: GoogleEmulator, shop: Client) -> None:
    """Faults with a number of times form a script."""
    google.fail(status=503, times=2)
    google.fail(status=429, object_id=OBJECT_ID, times=1)
    google.fail(status=500, times=1)
    assert [patch(shop).status_code for _ in range(5)] == [503, 503, 429, 500, 200]
    assert google.faults == []


def test_heal(google: GoogleEmulator, shop: Client) -> None:
    """One fault is taken back, or all of them."""
    first = google.fail(status=500)
    google.fail(status=503, object_id=OBJECT_ID)
    assert patch(shop).status_code == 500
    google.heal(first)
    assert patch(shop).status_code == 503
    google.heal()
    assert patch(shop).status_code == 200


def test_chance_can_be_repeated() -> None:
    """Random faults hit about as often as ordered, and the same seed hits the same requests."""
    runs = []
    for _ in range(2):
        with GoogleEmulator(requests_per_second=None, seed=7) as google:
            google.fail(probability=0.3)
            client = Client(google.url, google.service_account)
            with client.session:
                runs.append([client.get_object().status_code for _ in range(100)])
    assert runs[0] == runs[1]
    assert 15 <= Counter(runs[0])[503] <= 45


def test_token_endpoint_fails_in_its_own_envelope(
    google: GoogleEmulator, anonymous: Client
) -> None:
    """A fault at the token endpoint is an OAuth error."""
    google.fail(endpoint="token", status=400, times=1)
    assert anonymous.exchange().json()["error"] == "invalid_grant"
    google.fail(endpoint="token", status=503, times=1)
    assert anonymous.exchange().json()["error"] == "temporarily_unavailable"
    google.fail(endpoint="token", status=401, reason="unauthorized_client", times=1)
    assert anonymous.exchange().json()["error"] == "unauthorized_client"


@pytest.mark.parametrize(
    "order",
    [{"endpoint": "objects"}, {"times": 0}, {"probability": 30}, {"action": "explode"}],
)
def test_senseless_orders_are_refused(google: GoogleEmulator, order: dict[str, Any]) -> None:
    """A fault that could never act is refused when it is ordered."""
    with pytest.raises(ValueError, match=next(iter(order))):
        google.misbehave(order.pop("action", "status"), **order)


def test_outage(google: GoogleEmulator, shop: Client) -> None:
    """A stopped emulator refuses connections, and comes back with all it held."""
    url = google.url
    google.stop()
    with pytest.raises(requests.exceptions.ConnectionError):
        patch(shop)
    google.start()
    assert google.url == url
    assert patch(shop).status_code == 200
