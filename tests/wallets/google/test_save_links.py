"""Links that save a card: what Google reads in them."""

from __future__ import annotations

import json
import time
from urllib.parse import urlsplit

import pytest
from google.auth import jwt

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.exceptions import InvalidCardError, MisconfiguredError
from loyalty_wallet.wallets.google.credentials import ServiceAccount
from loyalty_wallet.wallets.google.save_links import save_link

OBJECT_ID = "3388000000000000001.0f3c"
CLASS_ID = "3388000000000000001.club"


@pytest.fixture(scope="module")
def key() -> dict[str, str]:
    with GoogleEmulator() as emulator:
        content: dict[str, str] = json.loads(emulator.wallet_options["credentials"])
    return content


@pytest.fixture
def account(key: dict[str, str]) -> ServiceAccount:
    return ServiceAccount(json.dumps(key), timeout_seconds=1)


def token_in(link: str) -> str:
    parts = urlsplit(link)
    assert (parts.scheme, parts.netloc) == ("https", "pay.google.com")
    return parts.path.removeprefix("/gp/v/save/")


def test_the_link_names_the_card_and_who_vouches_for_it(
    account: ServiceAccount, key: dict[str, str]
) -> None:
    """Issued now by the service account for Google, with the object's id and nothing of the card."""
    token = token_in(save_link(account, object_id=OBJECT_ID, class_id=CLASS_ID))
    header, claims, _, _ = jwt._unverified_decode(token)
    assert header == {"typ": "JWT", "alg": "RS256", "kid": key["private_key_id"]}
    assert abs(claims.pop("iat") - time.time()) < 60
    assert claims == {
        "iss": key["client_email"],
        "aud": "google",
        "typ": "savetowallet",
        "payload": {"loyaltyObjects": [{"id": OBJECT_ID, "classId": CLASS_ID}]},
    }


def test_the_signature_is_the_service_accounts(
    account: ServiceAccount, key: dict[str, str]
) -> None:
    """A token changed on its way is not the account's any more."""
    credentials = account.load()
    token = token_in(save_link(account, object_id=OBJECT_ID, class_id=CLASS_ID))
    _, _, signed, signature = jwt._unverified_decode(token)
    assert credentials.signer.sign(signed) == signature


def test_origins_are_for_embedded_buttons_only(account: ServiceAccount) -> None:
    """They are absent unless asked for: links in e-mails do not work with them."""
    link = save_link(
        account, object_id=OBJECT_ID, class_id=CLASS_ID, origins=["https://shop.example"]
    )
    _, claims, _, _ = jwt._unverified_decode(token_in(link))
    assert claims["origins"] == ["https://shop.example"]


def test_a_link_that_browsers_would_cut_is_refused(account: ServiceAccount) -> None:
    """Google names 1,800 characters as safe."""
    origins = [f"https://shop{number}.example" for number in range(60)]
    with pytest.raises(InvalidCardError, match="1800"):
        save_link(account, object_id=OBJECT_ID, class_id=CLASS_ID, origins=origins)


def test_without_a_key_nothing_can_be_signed() -> None:
    """The missing file is named."""
    account = ServiceAccount("/no/such/key.json", timeout_seconds=1)
    with pytest.raises(MisconfiguredError, match=r"/no/such/key\.json"):
        save_link(account, object_id=OBJECT_ID, class_id=CLASS_ID)
