"""The request log, the quota, hooks and what happens behind a client's back."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from loyalty_wallet.emulator import GoogleEmulator, LoggedRequest

from .client import CLASS_ID, OBJECT_ID, Client, balance, error_of


def test_log_entry(google: GoogleEmulator, shop: Client) -> None:
    """The log says what came, for what, and how it ended."""
    shop.call("PATCH", f"loyaltyObject/{OBJECT_ID}?fields=id", {"state": "EXPIRED"})
    entry = google.requests[-1]
    assert (entry.method, entry.path) == ("PATCH", f"/walletobjects/v1/loyaltyObject/{OBJECT_ID}")
    assert (entry.kind, entry.resource_id, entry.status) == ("object", OBJECT_ID, 200)
    assert (entry.body, dict(entry.query)) == ({"state": "EXPIRED"}, {"fields": "id"})
    assert f"Bearer {entry.token}" == shop.session.headers["Authorization"]
    assert entry.answered_at is not None
    assert entry.arrived_at <= entry.answered_at <= time.monotonic()


def test_log_by_kind(google: GoogleEmulator, shop: Client) -> None:
    """The log can be read by endpoint and by object."""
    shop.get_object()
    assert [entry.sequence for entry in google.requests] == [1, 2, 3, 4]
    assert [entry.sequence for entry in google.token_requests] == [1]
    assert [entry.sequence for entry in google.class_requests] == [2]
    assert [entry.sequence for entry in google.object_requests] == [3, 4]
    assert google.requests_for(OBJECT_ID) == google.object_requests
    assert google.requests_for("1.other") == []


def test_applied_writes(google: GoogleEmulator, shop: Client) -> None:
    """Writes that took effect are known in their order; reads and refusals are not among them."""
    shop.patch_object(loyaltyPoints=balance(6))
    shop.get_object()
    shop.patch_object(nonsense=True)
    shop.patch_object(loyaltyPoints=balance(7))
    writes = google.applied_writes(OBJECT_ID)
    assert [entry.body["loyaltyPoints"] for entry in writes] == [balance(5), balance(6), balance(7)]


def test_bodies_can_be_left_out() -> None:
    """A long log is kept small without bodies."""
    with GoogleEmulator(log_bodies=False) as google:
        client = Client(google.url, google.service_account)
        with client.session:
            client.sign_in()
            client.insert_class()
    assert [entry.body for entry in google.requests] == [None, None]
    assert [entry.resource_id for entry in google.class_requests] == [CLASS_ID]


def test_concurrent_requests_for_one_object_are_noticed(
    google: GoogleEmulator, shop: Client
) -> None:
    """Two requests under way for one object are seen, two for different ones are not."""
    google.set_latency(0.2)
    with ThreadPoolExecutor(2) as pool:
        for call in (shop.get_object, lambda: shop.call("GET", f"loyaltyObject/{OBJECT_ID}2")):
            pool.submit(call)
    assert google.max_in_flight_per_object == 1
    with ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            pool.submit(shop.get_object)
    assert google.max_in_flight_per_object == 2


def test_hook_runs_before_the_request_is_handled(google: GoogleEmulator, shop: Client) -> None:
    """A hook can change what the request will meet, in a thread without an event loop."""
    seen: list[tuple[LoggedRequest, str]] = []

    def hook(entry: LoggedRequest) -> None:
        seen.append((entry, threading.current_thread().name))
        google.edit_object(OBJECT_ID, accountName="Ada")

    google.on_request = hook
    assert shop.get_object().json()["accountName"] == "Ada"
    ((entry, thread),) = seen
    assert entry is google.requests[-1]
    assert thread.startswith("emulator-aside")


def test_hook_may_block(google: GoogleEmulator, shop: Client) -> None:
    """A blocked hook holds up its own request only."""
    release = threading.Event()

    def hook(entry: LoggedRequest) -> None:
        if entry.method == "PATCH":
            release.wait(5)

    google.on_request = hook
    with ThreadPoolExecutor(1) as pool:
        blocked = pool.submit(shop.patch_object, state="EXPIRED")
        assert shop.get_object().json()["state"] == "active"
        release.set()
        assert blocked.result().status_code == 200


def test_quota() -> None:
    """One second's worth of requests goes through at once, the rest is refused until refilled."""
    with GoogleEmulator(requests_per_second=5, retry_after=3) as google:
        client = Client(google.url, google.service_account)
        with client.session:
            client.sign_in()
            answers = [client.get_object() for _ in range(8)]
            statuses = [answer.status_code for answer in answers]
            assert statuses[:5] == [404] * 5
            assert 1 <= statuses.count(429) <= 3
            refused = answers[statuses.index(429)]
            assert error_of(refused) == (429, "rateLimitExceeded")
            assert refused.json()["error"]["status"] == "RESOURCE_EXHAUSTED"
            assert refused.headers["Retry-After"] == "3"
            time.sleep(0.25)
            assert client.get_object().status_code == 404
            google.set_quota(None)
            assert 429 not in [client.get_object().status_code for _ in range(30)]


def test_quota_is_above_zero(google: GoogleEmulator) -> None:
    """A quota of nothing is refused."""
    with pytest.raises(ValueError, match="above 0"):
        google.set_quota(0)


def test_behind_the_back(google: GoogleEmulator, shop: Client) -> None:
    """Objects and classes can be changed and dropped as if by someone else."""
    google.edit_object(OBJECT_ID, accountName="Ada", loyaltyPoints=None)
    assert google.objects[OBJECT_ID]["accountName"] == "Ada"
    assert "loyaltyPoints" not in google.objects[OBJECT_ID]
    google.edit_class(CLASS_ID, reviewStatus="REJECTED")
    assert shop.get_object().json()["classReference"]["reviewStatus"] == "rejected"
    google.forget_class(CLASS_ID)
    assert "classReference" not in shop.get_object().json()
    google.forget_object(OBJECT_ID)
    assert error_of(shop.get_object()) == (404, "resourceNotFound")
    with pytest.raises(KeyError):
        google.edit_object(OBJECT_ID, state="ACTIVE")


def test_reset(google: GoogleEmulator, shop: Client) -> None:
    """Reset leaves an empty emulator without faults, log or tokens."""
    google.fail()
    google.deny_issuer()
    google.revoke_key()
    google.reset()
    assert (google.objects, google.classes, google.requests, google.faults) == ({}, {}, [], [])
    assert error_of(shop.insert_class()) == (401, "authError")
    shop.sign_in()
    assert shop.insert_class().status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.0.1", "::", "shop.example"])  # noqa: S104
def test_loopback_only(host: str) -> None:
    """The emulator, which anyone may order about, is not reachable from elsewhere."""
    with pytest.raises(ValueError, match="loopback"):
        GoogleEmulator(host=host)


def test_taken_port_is_reported(google: GoogleEmulator) -> None:
    """Starting on a port that is taken raises where it was started."""
    second = GoogleEmulator(port=int(google.url.rpartition(":")[2]))
    with pytest.raises(OSError, match="in use"):
        second.start()
    with pytest.raises(RuntimeError, match="not been started"):
        _ = second.url


def test_start_twice_is_refused(google: GoogleEmulator) -> None:
    """An emulator that runs cannot be started again, and one that does not can be stopped."""
    with pytest.raises(RuntimeError, match="running already"):
        google.start()
    google.stop()
    google.stop()
