"""Google's token endpoint: assertions in, access tokens out."""

from __future__ import annotations

import base64
import json
import secrets
import time
from typing import Any
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from .errors import InvalidTokenError, LoginRequiredError, OAuthError
from .keys import CLIENT_EMAIL, throw_away_key

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPE = "https://www.googleapis.com/auth/wallet_object.issuer"
# Assertions name this audience wherever the token endpoint really is (google-auth fixes it).
AUDIENCE = "https://oauth2.googleapis.com/token"
MAX_ASSERTION_SECONDS = 3600
CLOCK_SKEW_SECONDS = 60


class TokenDesk:
    """Gives out access tokens for valid assertions and knows which of them still count."""

    def __init__(self, *, lifetime_seconds: float) -> None:
        self._lifetime_seconds = lifetime_seconds
        self._expires_at: dict[str, float] = {}
        self.is_key_revoked = False

    def grant(self, form: bytes) -> bytes:
        """Answer a token request; raises OAuthError when Google would refuse it."""
        fields = parse_qs(form.decode("utf-8", "replace"))
        if fields.get("grant_type") != [GRANT_TYPE]:
            raise OAuthError("unsupported_grant_type", f"Invalid grant_type: expected {GRANT_TYPE}")
        assertion = fields.get("assertion", [""])[0]
        if not assertion:
            raise OAuthError("invalid_request", "Missing required parameter: assertion")
        _check_claims(self.verified_claims(assertion))
        token = f"ya29.emulator-{secrets.token_urlsafe(32)}"
        self._expires_at[token] = time.monotonic() + self._lifetime_seconds
        answer = {
            "access_token": token,
            "expires_in": int(self._lifetime_seconds),
            "token_type": "Bearer",
        }
        return json.dumps(answer).encode()

    def check(self, token: str | None) -> None:
        """Raise unless this access token counts now."""
        if not token:
            raise LoginRequiredError("Login Required.")
        if self._expires_at.get(token, 0.0) <= time.monotonic():
            raise InvalidTokenError("Invalid Credentials")

    def revoke_all(self) -> None:
        """Make every token given out so far worthless."""
        self._expires_at.clear()

    def verified_claims(self, assertion: str) -> dict[str, Any]:
        """Return what a token of the service account says; raises OAuthError for any other."""
        try:
            signed, _, signature = assertion.rpartition(".")
            header, claims = (json.loads(_decode(part)) for part in signed.split("."))
            throw_away_key().public_key.verify(
                _decode(signature), signed.encode("ascii"), PKCS1v15(), SHA256()
            )
        except InvalidSignature:
            raise OAuthError("invalid_grant", "Invalid JWT Signature.") from None
        except ValueError:
            raise OAuthError("invalid_grant", "Bad Request: not a signed JWT.") from None
        if not isinstance(header, dict) or header.get("alg") != "RS256":
            raise OAuthError("invalid_grant", "Invalid JWT: expected alg RS256.")
        if self.is_key_revoked:
            raise OAuthError("invalid_grant", "Invalid JWT Signature.")
        return claims if isinstance(claims, dict) else {}


def _check_claims(claims: dict[str, Any]) -> None:
    if claims.get("iss") != CLIENT_EMAIL:
        raise OAuthError("invalid_grant", "Invalid grant: account not found")
    if claims.get("aud") != AUDIENCE:
        raise OAuthError("invalid_grant", f"Invalid JWT: expected audience {AUDIENCE}")
    issued_at, expires_at = claims.get("iat"), claims.get("exp")
    if not isinstance(issued_at, int) or not isinstance(expires_at, int):
        raise OAuthError("invalid_grant", "Invalid JWT: iat and exp must be numbers.")
    now = time.time()
    if (
        expires_at <= now
        or issued_at > now + CLOCK_SKEW_SECONDS
        or expires_at - issued_at > MAX_ASSERTION_SECONDS + CLOCK_SKEW_SECONDS
    ):
        raise OAuthError(
            "invalid_grant",
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable"
            " timeframe. Check your iat and exp values in the JWT claim.",
        )
    if SCOPE not in str(claims.get("scope", "")).split():
        raise OAuthError("invalid_scope", "Invalid OAuth scope or ID token audience provided.")


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
