"""Reading save links as Google does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google.auth import crypt, jwt

from loyalty_wallet.emulator.google.keys import throw_away_key


def claims_in(link: str) -> dict[str, Any]:
    """Return what a save link says; it must be signed by the emulator's service account."""
    parts = urlsplit(link)
    assert (parts.scheme, parts.netloc) == ("https", "pay.google.com")
    public_key = throw_away_key().public_key.public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )
    # Taken apart by hand: Google's own library insists on an expiry, which these do not have.
    _, claims, signed, signature = jwt._unverified_decode(parts.path.removeprefix("/gp/v/save/"))
    assert crypt.verify_signature(signed, signature, public_key)
    return dict(claims)


def object_in(link: str) -> Mapping[str, str]:
    """Return the one object that a save link names."""
    [named] = claims_in(link)["payload"]["loyaltyObjects"]
    return dict(named)
