"""What the emulated APNs thinks of a provider token."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from .authority import Authority

LIFETIME_SECONDS = 3600
_COORDINATE_BYTES = 32


def reason_to_refuse(bearer: str, authority: Authority) -> str:
    """Return the name of the fault in an `authorization` header, empty if there is none."""
    try:
        signed, _, signature = bearer.removeprefix("bearer ").rpartition(".")
        header, _, claims = signed.partition(".")
        kid, said = _read(header).get("kid"), _read(claims)
        _verify(authority.push_key, signed.encode(), _decode(signature))
    except (ValueError, InvalidSignature):
        return "invalid_provider_token"
    if kid != authority.push_key_id or said.get("iss") != authority.team_identifier:
        return "invalid_provider_token"
    age = time.time() - float(said.get("iat", 0))
    return "" if 0 <= age + 1 <= LIFETIME_SECONDS else "expired_provider_token"


def _verify(key: ec.EllipticCurvePrivateKey, signed: bytes, signature: bytes) -> None:
    numbers = (
        int.from_bytes(signature[:_COORDINATE_BYTES], "big"),
        int.from_bytes(signature[_COORDINATE_BYTES:], "big"),
    )
    key.public_key().verify(encode_dss_signature(*numbers), signed, ec.ECDSA(SHA256()))


def _read(part: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(_decode(part))
    return content


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
