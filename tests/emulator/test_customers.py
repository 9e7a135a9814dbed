"""The emulated customers: which save links Google takes, and what a save does."""

from __future__ import annotations

import time
from typing import Any

import pytest
from google.auth import jwt

from loyalty_wallet.emulator import GoogleEmulator, RemoteGoogleEmulator

from .client import CLASS_ID, OBJECT_ID, Client, loyalty_class, loyalty_object, signer

SAVE_URL = "https://pay.google.com/gp/v/save/"


def link(google: GoogleEmulator, *objects: Any, **claims: Any) -> str:
    """Return a save link for these objects, by default the shop's; keywords replace claims."""
    account = google.service_account
    payload = {
        "iss": account["client_email"],
        "aud": "google",
        "typ": "savetowallet",
        "iat": int(time.time()),
        "payload": {"loyaltyObjects": list(objects) or [{"id": OBJECT_ID, "classId": CLASS_ID}]},
    }
    token: bytes = jwt.encode(signer(account["private_key"]), payload | claims)
    return SAVE_URL + token.decode()


def test_a_saved_object_has_users(google: GoogleEmulator, shop: Client) -> None:
    """As long as anybody has it on a phone."""
    assert google.customer_saves(link(google)) == [OBJECT_ID]
    assert google.customer_saves(link(google)) == [OBJECT_ID]
    assert shop.get_object().json()["hasUsers"] is True
    google.customer_removes(OBJECT_ID)
    assert shop.get_object().json()["hasUsers"] is True
    google.customer_removes(OBJECT_ID)
    assert shop.get_object().json()["hasUsers"] is False
    with pytest.raises(KeyError):
        google.customer_removes(OBJECT_ID)


def test_a_link_may_carry_the_whole_card(google: GoogleEmulator) -> None:
    """Class and object come to be with the save; what exists already is not changed by it."""
    payload = {"loyaltyClasses": [loyalty_class()], "loyaltyObjects": [loyalty_object()]}
    google.customer_saves(link(google, payload=payload))
    assert set(google.objects) == {OBJECT_ID}
    payload["loyaltyObjects"] = [loyalty_object(state="EXPIRED")]
    google.customer_saves(link(google, payload=payload))
    assert google.objects[OBJECT_ID]["state"] == "ACTIVE"


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"aud": "googlepay"}, "aud"),
        ({"typ": "savetoandroidpay"}, "typ"),
        ({"iss": "somebody@else.example"}, "iss"),
        ({"iat": 2**33}, "iat"),
        ({"exp": 1}, "expired"),
        ({"payload": {}}, "no object"),
        ({"payload": {"loyaltyObjects": [{"id": "3388000000000000001.none"}]}}, "cannot be saved"),
        ({"payload": {"loyaltyObjects": ["text"]}}, "cannot be saved"),
        ({"payload": {"loyaltyObjects": [{"id": "7.other", "classId": "7.c"}]}}, "cannot be saved"),
    ],
)
def test_refused_links(
    google: GoogleEmulator, shop: Client, claims: dict[str, Any], why: str
) -> None:
    """A link that Google would not take puts nothing on a phone."""
    with pytest.raises(ValueError, match=why):
        google.customer_saves(link(google, **claims))
    assert "hasUsers" not in google.objects[OBJECT_ID]


def test_a_changed_link_is_refused(google: GoogleEmulator, shop: Client) -> None:
    """The signature is that of the service account, over just these claims."""
    head, claims, signature = link(google).rsplit(".", 2)
    for forged in (f"{head}.{claims}x.{signature}", f"{head}.{claims}", SAVE_URL, ""):
        with pytest.raises(ValueError, match="JWT"):
            google.customer_saves(forged)


def test_customers_from_another_process(google: GoogleEmulator, shop: Client) -> None:
    """They can be told what to do through the control endpoint, too."""
    remote = RemoteGoogleEmulator(google.url)
    url = f"{google.url}/nobody/listens"
    google.edit_class(CLASS_ID, callbackOptions={"url": url})
    assert remote.customer_saves(link(google), callback="held") == [OBJECT_ID]
    assert remote.callbacks == []
    remote.release_callbacks()
    remote.repeat_callbacks()
    (callback,) = remote.callbacks
    assert callback == google.callbacks[0]
    assert (callback.event, callback.url, callback.status, callback.sent) == ("save", url, 401, 2)
    remote.customer_removes(OBJECT_ID, callback="lost")
    with pytest.raises(KeyError):
        remote.customer_removes(OBJECT_ID)
    with pytest.raises(ValueError, match="JWT"):
        remote.customer_saves("nonsense")
    remote.reset()
    assert remote.callbacks == []


def test_a_person_saves_and_removes_with_a_browser(google: GoogleEmulator, shop: Client) -> None:
    """The page of a save link stands in for Google's own, for demos on one machine."""
    page = link(google).replace(SAVE_URL, google.save_url)
    asked = shop.session.get(page, timeout=10)
    assert (asked.status_code, "Add to Google Wallet" in asked.text) == (200, True)
    assert not google.objects[OBJECT_ID].get("hasUsers")
    saved = shop.session.post(page, data={"save": ""}, timeout=10)
    assert "<h1>Saved</h1>" in saved.text
    assert google.objects[OBJECT_ID]["hasUsers"] is True
    removed = shop.session.post(page, data={"remove": OBJECT_ID}, timeout=10)
    assert "<h1>Removed</h1>" in removed.text
    assert google.objects[OBJECT_ID]["hasUsers"] is False


def test_a_person_sees_that_a_link_is_refused(google: GoogleEmulator, shop: Client) -> None:
    """What a customer would see as "Something went wrong" has its reason here, harmless."""
    for page in (f"{google.save_url}<b>", link(google, aud="x").replace(SAVE_URL, google.save_url)):
        refused = shop.session.post(page, data={"save": ""}, timeout=10)
        assert (refused.status_code, "<b>" in refused.text) == (400, False)
        assert "Something went wrong" in refused.text
