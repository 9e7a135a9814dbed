"""The token endpoint and what an access token is worth."""

from __future__ import annotations

import json
import time
from typing import Any

import google.auth.transport.requests
import pytest
import requests
from google.oauth2 import service_account

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.emulator.google.tokens import GRANT_TYPE, SCOPE

from .client import OBJECT_ID, Client, assertion, error_of


def test_google_auth_gets_a_token(google: GoogleEmulator) -> None:
    """Google's own library signs in with the emulator's service account."""
    info = json.loads(google.wallet_options["credentials"])
    credentials = service_account.Credentials.from_service_account_info(info, scopes=[SCOPE])
    with requests.Session() as session:
        credentials.refresh(google_request(session))
    assert credentials.valid
    assert [entry.status for entry in google.token_requests] == [200]


def google_request(session: requests.Session) -> Any:
    """Return google-auth's transport over a session that the test closes."""
    return google.auth.transport.requests.Request(session)


def test_answer_names_token_lifetime_and_type(anonymous: Client) -> None:
    """A valid assertion is answered with a bearer token for an hour."""
    answer = anonymous.exchange().json()
    assert answer.pop("access_token")
    assert answer == {"expires_in": 3600, "token_type": "Bearer"}


@pytest.mark.parametrize(
    ("claims", "error"),
    [
        ({"iss": "someone@else.example"}, "invalid_grant"),
        ({"aud": "https://127.0.0.1/token"}, "invalid_grant"),
        ({"exp": int(time.time()) - 60}, "invalid_grant"),
        ({"exp": int(time.time()) + 86400}, "invalid_grant"),
        ({"exp": None}, "invalid_grant"),
        ({"scope": "https://www.googleapis.com/auth/calendar"}, "invalid_scope"),
    ],
)
def test_claims_are_checked(anonymous: Client, claims: dict[str, Any], error: str) -> None:
    """An assertion with a wrong claim is refused with OAuth's error code."""
    response = anonymous.exchange(**claims)
    assert response.status_code == 400
    assert response.json()["error"] == error
    assert response.json()["error_description"]


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": GRANT_TYPE}, "invalid_request"),
        ({"grant_type": GRANT_TYPE, "assertion": "rubbish"}, "invalid_grant"),
        ({"grant_type": GRANT_TYPE, "assertion": "a.b.c"}, "invalid_grant"),
    ],
)
def test_form_is_checked(anonymous: Client, form: dict[str, str], error: str) -> None:
    """A form that is not a signed jwt-bearer grant is refused."""
    response = anonymous.session.post(anonymous.account["token_uri"], data=form, timeout=5)
    assert (response.status_code, response.json()["error"]) == (400, error)


def test_forged_signature_is_refused(anonymous: Client) -> None:
    """An assertion whose claims were changed after signing is refused."""
    mine = assertion(anonymous.account)
    other = assertion(anonymous.account, sub="someone@else.example")
    header, _, signature = mine.split(".")
    forged = ".".join([header, other.split(".")[1], signature])
    form = {"grant_type": GRANT_TYPE, "assertion": forged}
    response = anonymous.session.post(anonymous.account["token_uri"], data=form, timeout=5)
    assert response.json() == {
        "error": "invalid_grant",
        "error_description": "Invalid JWT Signature.",
    }


def test_token_endpoint_takes_post_only(anonymous: Client) -> None:
    """A GET at the token endpoint is refused."""
    assert anonymous.session.get(anonymous.account["token_uri"], timeout=5).status_code == 405


def test_no_token_is_401_required(anonymous: Client) -> None:
    """A request without a token is told to log in, in the header that is missing."""
    response = anonymous.get_object()
    assert error_of(response) == (401, "required")
    assert response.json()["error"]["errors"][0]["location"] == "Authorization"


@pytest.mark.parametrize("authorization", ["Bearer nonsense", "Basic dTpw", "Bearer "])
def test_wrong_token_is_401(anonymous: Client, authorization: str) -> None:
    """A token that was never given out is refused."""
    anonymous.session.headers["Authorization"] = authorization
    assert anonymous.get_object().status_code == 401


def test_expired_token_is_401() -> None:
    """A token stops counting at the end of its lifetime."""
    with GoogleEmulator(token_lifetime_seconds=0.3) as google:
        client = Client(google.url, google.service_account)
        with client.session:
            client.sign_in()
            assert client.insert_class().status_code == 200
            time.sleep(0.3)
            assert error_of(client.insert_object()) == (401, "authError")


def test_revoked_tokens_are_401_until_the_next(google: GoogleEmulator, client: Client) -> None:
    """Revoking tokens ends the ones given out, not the right to new ones."""
    google.revoke_tokens()
    assert error_of(client.insert_class()) == (401, "authError")
    client.sign_in()
    assert client.insert_class().status_code == 200


def test_revoked_key_gets_no_token(google: GoogleEmulator, client: Client) -> None:
    """A revoked key gets invalid_grant, while a token that is out keeps its time."""
    google.revoke_key()
    assert client.exchange().json()["error"] == "invalid_grant"
    assert client.insert_class().status_code == 200
    google.restore_key()
    assert client.exchange().status_code == 200


def test_denied_issuer_is_403(google: GoogleEmulator, shop: Client) -> None:
    """A service account that is not invited by the issuer may not touch its passes."""
    google.deny_issuer()
    assert error_of(shop.get_object()) == (403, "permissionDenied")
    assert error_of(shop.insert_object(id=f"{google.issuer_id}.new")) == (403, "permissionDenied")
    google.allow_issuer()
    assert shop.get_object().status_code == 200


def test_foreign_issuer_is_403_until_allowed(google: GoogleEmulator, client: Client) -> None:
    """Another issuer's ids are refused unless that issuer is allowed."""
    assert error_of(client.insert_class(id="4000.c")) == (403, "permissionDenied")
    google.allow_issuer("4000")
    assert client.insert_class(id="4000.c").status_code == 200


def test_secrets_are_not_in_a_repr(google: GoogleEmulator, shop: Client) -> None:
    """Neither the log nor the emulator shows a token or the key when printed."""
    (entry,) = [entry for entry in google.requests_for(OBJECT_ID) if entry.method == "POST"]
    assert entry.token
    assert entry.token not in repr(entry)
    assert "PRIVATE" not in repr(google)
