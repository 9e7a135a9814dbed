"""A client for the emulator's own tests: plain requests, no retry, nothing hidden."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import requests
from google.auth import crypt, jwt

from loyalty_wallet.emulator.google.keys import ServiceAccount
from loyalty_wallet.emulator.google.tokens import AUDIENCE, GRANT_TYPE, SCOPE

ISSUER_ID = "3388000000000000001"
CLASS_ID = f"{ISSUER_ID}.coffee"
OBJECT_ID = f"{ISSUER_ID}.card-1"
# For clients that give up: long enough for any answer that is to come.
QUICK = 0.3
LOGO = {"sourceUri": {"uri": "https://shop.example/logo.png"}}


def loyalty_class(**fields: Any) -> dict[str, Any]:
    """Return a class that Google takes."""
    required = {
        "id": CLASS_ID,
        "issuerName": "Corner Shop",
        "programName": "Coffee Club",
        "programLogo": LOGO,
        "reviewStatus": "UNDER_REVIEW",
    }
    return required | fields


def loyalty_object(**fields: Any) -> dict[str, Any]:
    """Return an object that Google takes."""
    required = {
        "id": OBJECT_ID,
        "classId": CLASS_ID,
        "state": "ACTIVE",
        "loyaltyPoints": {"label": "Points", "balance": {"int": 5}},
    }
    return required | fields


def assertion(account: ServiceAccount, **claims: Any) -> str:
    """Sign an assertion as google-auth does; keywords replace claims."""
    now = int(time.time())
    payload = {
        "iss": account["client_email"],
        "scope": SCOPE,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + 3600,
    }
    token: bytes = jwt.encode(signer(account["private_key"]), payload | claims)
    return token.decode("ascii")


@cache
def signer(private_key: str) -> Any:
    """Return a signer; reading a key takes longer than most tests."""
    return crypt.RSASigner.from_string(private_key)


class Client:
    """Calls one emulator with an access token of its own."""

    def __init__(self, url: str, account: ServiceAccount) -> None:
        self.url = url
        self.account = account
        self.session = requests.Session()
        # No proxy from the environment: the emulator is on this machine.
        self.session.trust_env = False

    def sign_in(self) -> None:
        """Fetch an access token and send it from now on."""
        token = self.exchange().json()["access_token"]
        self.session.headers["Authorization"] = f"Bearer {token}"

    def exchange(self, **claims: Any) -> requests.Response:
        """Ask the token endpoint for an access token."""
        form = {"grant_type": GRANT_TYPE, "assertion": assertion(self.account, **claims)}
        return self.session.post(self.account["token_uri"], data=form, timeout=5)

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> requests.Response:
        """Call the Wallet API."""
        return self.session.request(
            method,
            f"{self.url}/walletobjects/v1/{path}",
            json=body,
            **{"timeout": 5, "allow_redirects": False} | options,
        )

    def insert_class(self, **fields: Any) -> requests.Response:
        """Insert the class."""
        return self.call("POST", "loyaltyClass", loyalty_class(**fields))

    def insert_object(self, **fields: Any) -> requests.Response:
        """Insert the object."""
        return self.call("POST", "loyaltyObject", loyalty_object(**fields))

    def patch_object(self, **fields: Any) -> requests.Response:
        """Patch the object."""
        return self.call("PATCH", f"loyaltyObject/{OBJECT_ID}", fields)

    def get_object(self, query: str = "") -> requests.Response:
        """Get the object."""
        return self.call("GET", f"loyaltyObject/{OBJECT_ID}{query}")


def balance(points: int) -> dict[str, Any]:
    """Return loyaltyPoints with an int balance."""
    return {"label": "Points", "balance": {"int": points}}


def error_of(response: requests.Response) -> tuple[int, str]:
    """Return the status of a refusal and the reason that its envelope names."""
    error = response.json()["error"]
    assert error["code"] == response.status_code
    assert error["message"]
    (detail,) = error["errors"]
    assert detail["domain"] in {"walletobjects", "global"}
    return response.status_code, detail["reason"]
