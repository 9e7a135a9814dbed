"""The throw-away key of the emulated service account. It opens nothing but this emulator."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cache
from typing import TypedDict

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

PROJECT_ID = "wallet-emulator"
CLIENT_EMAIL = f"emulator@{PROJECT_ID}.iam.gserviceaccount.com"
KEY_SIZE = 2048


class ServiceAccount(TypedDict):
    """A service-account JSON as Google's console downloads it."""

    type: str
    project_id: str
    private_key_id: str
    private_key: str
    client_email: str
    client_id: str
    token_uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrowAwayKey:
    """An RSA key that lives as long as the process."""

    key_id: str
    pem: str = field(repr=False)
    public_key: rsa.RSAPublicKey = field(repr=False)


@cache
def throw_away_key() -> ThrowAwayKey:
    """Return the key of this process, created on first use so that hundreds of tests share it."""
    private_key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_SIZE)
    pem = private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return ThrowAwayKey(
        key_id=hashlib.sha256(pem).hexdigest()[:40],
        pem=pem.decode("ascii"),
        public_key=private_key.public_key(),
    )


def service_account(token_uri: str) -> ServiceAccount:
    """Return a service-account JSON whose tokens come from `token_uri`."""
    key = throw_away_key()
    return ServiceAccount(
        type="service_account",
        project_id=PROJECT_ID,
        private_key_id=key.key_id,
        private_key=key.pem,
        client_email=CLIENT_EMAIL,
        client_id="100000000000000000001",
        token_uri=token_uri,
    )
