"""The callbacks of the emulated Google: what it signs, and which of them it has sent."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import asdict, dataclass, field
from typing import Any, Literal
from uuid import uuid4

import requests
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

Event = Literal["save", "del"]
CallbackOrder = Literal[
    "once",
    "twice",  # the same message again
    "held",  # kept back until the callbacks are released
    "forged",  # signed by keys that are not Google's
    "expired",  # signed by Google, too long ago
    "lost",  # never sent
]

PROTOCOL = "ECv2SigningOnly"
SENDER = "GooglePayPasses"
MESSAGE_SECONDS = 3600
KEY_SECONDS = 7 * 24 * 3600
SEND_SECONDS = 15


@dataclass(slots=True, kw_only=True)
class Callback:
    """One callback; `status` is that of its receiver's last answer, None before there was one."""

    object_id: str
    event: Event
    nonce: str
    url: str
    body: dict[str, Any] = field(repr=False)
    status: int | None = None
    sent: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the callback as the control endpoint sends it."""
        return asdict(self)

    def send(self) -> None:
        """Post it to the URL that its class names."""
        with requests.Session() as session:
            # No proxy from the environment: the receiver is on this machine.
            session.trust_env = False
            try:
                answer = session.post(
                    self.url, json=self.body, timeout=SEND_SECONDS, allow_redirects=False
                )
            except requests.RequestException:
                self.status = None
            else:
                self.status = answer.status_code
        self.sent += 1


class CallbackSigner:
    """A root key, an intermediate key that it has signed, and what that one signs."""

    def __init__(self) -> None:
        self._root = ec.generate_private_key(ec.SECP256R1())
        self._intermediate = ec.generate_private_key(ec.SECP256R1())
        self._key_expires = str(_millis(time.time() + KEY_SECONDS))
        self._last_expires = 0

    def keys(self) -> bytes:
        """Return the root keys as Google publishes them."""
        entry = {
            "keyValue": _public(self._root),
            "protocolVersion": PROTOCOL,
            "keyExpiration": self._key_expires,
        }
        return json.dumps({"keys": [entry]}).encode()

    def sign(
        self, *, object_id: str, class_id: str, event: Event, is_expired: bool = False
    ) -> tuple[str, dict[str, Any]]:
        """Return the nonce and the body of a callback. One that is signed later expires later."""
        nonce = str(uuid4())
        expires = _millis(time.time() - 1)
        if not is_expired:
            expires = max(_millis(time.time() + MESSAGE_SECONDS), self._last_expires + 1)
            self._last_expires = expires
        message = json.dumps(
            {
                "classId": class_id,
                "objectId": object_id,
                "eventType": event,
                "expTimeMillis": expires,
                "count": 1,
                "nonce": nonce,
            }
        )
        # Google writes "=" as an escape here: whoever re-serialises the text breaks the signature.
        signed_key = json.dumps(
            {"keyValue": _public(self._intermediate), "keyExpiration": self._key_expires}
        ).replace("=", "\\u003d")
        issuer_id = object_id.partition(".")[0]
        return nonce, {
            "signature": _signature(self._intermediate, SENDER, issuer_id, PROTOCOL, message),
            "protocolVersion": PROTOCOL,
            "intermediateSigningKey": {
                "signedKey": signed_key,
                "signatures": [_signature(self._root, SENDER, PROTOCOL, signed_key)],
            },
            "signedMessage": message,
        }


def _signature(key: ec.EllipticCurvePrivateKey, *parts: str) -> str:
    encoded = [part.encode() for part in parts]
    content = b"".join(len(part).to_bytes(4, "little") + part for part in encoded)
    return base64.b64encode(key.sign(content, ec.ECDSA(SHA256()))).decode()


def _public(key: ec.EllipticCurvePrivateKey) -> str:
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


def _millis(seconds: float) -> int:
    return int(seconds * 1000)
