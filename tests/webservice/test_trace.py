"""One update as a phone sends it, byte for byte; nothing between us and it but a socket."""

from __future__ import annotations

import http.client
import json
import re
from urllib.parse import urlsplit

import pytest

from loyalty_wallet.emulator.apple import ApnsEmulator, Authority
from loyalty_wallet.emulator.apple.signatures import open_pass
from loyalty_wallet.models import AppleDeviceComplaint, AppleRegistration, LoyaltyCard
from loyalty_wallet.sync import sync_wallet_passes
from tests.phonefront import PASS_TYPE, iphone_pass

pytestmark = pytest.mark.django_db(transaction=True)

DEVICE = "ebc6fdbd" * 4
PUSH_TOKEN = "9f3c" * 16


class Wire:
    """A phone's connection: what it says is what a test writes down."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._http = http.client.HTTPConnection(parts.netloc, timeout=10)
        self._root = f"{parts.path}/v1"

    def say(
        self, method: str, path: str, *, body: str = "", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        self._http.request(method, f"{self._root}{path}", body=body or None, headers=sent)
        answer = self._http.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()

    def close(self) -> None:
        self._http.close()


def test_one_update_on_the_wire(
    card: LoyaltyCard, url: str, authority: Authority, apns: ApnsEmulator
) -> None:
    """Register, list, fetch; a purchase and its push; list and fetch; complain, unregister."""
    wire = Wire(url)
    row = iphone_pass(card)
    token = f"ApplePass {row.authentication_token}"
    registrations = f"/devices/{DEVICE}/registrations/{PASS_TYPE}"
    the_pass = f"/passes/{PASS_TYPE}/{row.remote_id}"
    as_json = {"Content_Type": "application/json"}

    body = json.dumps({"pushToken": PUSH_TOKEN})
    status, _, content = wire.say(
        "POST", f"{registrations}/{row.remote_id}", body=body, Authorization=token, **as_json
    )
    assert (status, content) == (201, b"")

    status, headers, content = wire.say("GET", registrations)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    listed = json.loads(content)
    assert listed == {"serialNumbers": [row.remote_id], "lastUpdated": str(row.change_tag)}
    first_tag = listed["lastUpdated"]
    # The phone sends it back without escaping it.
    assert re.fullmatch("[0-9]+", first_tag)

    status, headers, content = wire.say("GET", the_pass, Authorization=token)
    assert (status, headers["Content-Type"]) == (200, "application/vnd.apple.pkpass")
    first_version = headers["Last-Modified"]
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", first_version)
    assert open_pass(content, authority.root.certificate)["serialNumber"] == row.remote_id

    card.record("earn", points=40)
    sync_wallet_passes()
    (push,) = apns.pushes
    assert push.headers[":path"] == f"/3/device/{PUSH_TOKEN}"
    assert push.headers["apns-topic"] == PASS_TYPE

    status, _, content = wire.say("GET", f"{registrations}?passesUpdatedSince={first_tag}")
    listed = json.loads(content)
    assert (status, listed["serialNumbers"]) == (200, [row.remote_id])
    assert int(listed["lastUpdated"]) > int(first_tag)

    status, headers, content = wire.say(
        "GET", the_pass, Authorization=token, If_Modified_Since=first_version
    )
    assert status == 200
    assert headers["Last-Modified"] != first_version
    new = open_pass(content, authority.root.certificate)
    assert new["storeCard"]["headerFields"][0]["value"] == 40

    status, _, content = wire.say(
        "GET", the_pass, Authorization=token, If_Modified_Since=headers["Last-Modified"]
    )
    assert (status, content) == (304, b"")

    line = (
        f"[2026-11-23 13:00:05 +0100] Get pass task (pass type {PASS_TYPE}, serial number "
        f"{row.remote_id}, if-modified-since {first_version}; with web service url {url}) "
        "encountered error: Unexpected response code 502"
    )
    status, _, _ = wire.say("POST", "/log", body=json.dumps({"logs": [line]}), **as_json)
    assert status == 200
    complaint = AppleDeviceComplaint.objects.get()
    assert (complaint.kind, complaint.wallet_pass) == ("unexpected_status", row)

    status, _, content = wire.say("DELETE", f"{registrations}/{row.remote_id}", Authorization=token)
    assert (status, content) == (200, b"")
    assert not AppleRegistration.objects.exists()
    wire.close()


def test_no_secret_is_logged(card: LoyaltyCard, url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the pass's token nor the device's, right or wrong, however a call ends."""
    caplog.set_level("DEBUG")
    wire = Wire(url)
    row = iphone_pass(card)
    path = f"/devices/{DEVICE}/registrations/{PASS_TYPE}/{row.remote_id}"
    statuses = []
    for token in (row.authentication_token, "wrong-but-a-secret"):
        for body in (json.dumps({"pushToken": PUSH_TOKEN}), json.dumps({"pushToken": "no hex"})):
            header = f"ApplePass {token}"
            statuses.append(wire.say("POST", path, body=body, Authorization=header)[0])
    assert statuses == [201, 400, 401, 401]
    wire.close()
    assert "Unauthorized: registration" in caplog.text
    for secret in (row.authentication_token, "wrong-but-a-secret", PUSH_TOKEN, "no hex"):
        assert secret not in caplog.text
