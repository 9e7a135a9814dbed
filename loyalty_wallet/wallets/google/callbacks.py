"""Google's callbacks: that a customer saved or removed a card, and that it is Google who says so.

Google signs each one with the protocol ECv2SigningOnly: a root key, published at `KEYS_URL`,
signs an intermediate key, which signs the message. Source: Google Wallet API, "Use callbacks".
"""

from __future__ import annotations

import base64
import binascii
import json
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import requests
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from ...exceptions import DeliveryError, ForgedCallbackError, NetworkError, UnavailableError
from ..base import is_safe_url

KEYS_URL = "https://pay.google.com/gp/m/issuer/keys"
PROTOCOL = "ECv2SigningOnly"
SENDER = "GooglePayPasses"
REFETCH_SECONDS = 60
"""Between two fetches of the root keys: a forger must not make us hammer Google."""
FETCH_SECONDS = 5
"""For the whole of a fetch: whoever calls us waits meanwhile, and so does one of our threads."""
MOST_SIGNATURES = 10
"""Of an intermediate key, each to be tried with each root key; Google sends one."""


class Event(StrEnum):
    """What the customer did."""

    SAVE = "save"
    DELETE = "del"


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """One verified callback. Google repeats them, in any order; `nonce` tells repetitions."""

    event: Event
    class_id: str
    object_id: str
    nonce: str
    expires_at: datetime


class RootKeys:
    """Google's root keys, fetched when first needed and when a signature is by none of them.

    Safe to share between threads.
    """

    def __init__(self, url: str = KEYS_URL, *, timeout_seconds: float = FETCH_SECONDS) -> None:
        if not is_safe_url(url):
            raise ValueError("The URL of Google's keys must be https, or on this machine.")
        self.url = url
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._keys: list[tuple[ec.EllipticCurvePublicKey, datetime]] = []
        self._fetched_at = float("-inf")
        self._failure: DeliveryError | None = None

    def get(self) -> list[ec.EllipticCurvePublicKey]:
        """Return the keys that have not expired. Raises NetworkError or UnavailableError."""
        keys = self._unexpired()
        return keys or self.refresh()

    def refresh(self) -> list[ec.EllipticCurvePublicKey]:
        """Fetch the keys again, unless that has been tried in the last `REFETCH_SECONDS`.

        A fetch that failed fails for all who ask meanwhile: without the keys nobody can tell a
        forgery, and what may be Google's own must not be refused for good.
        """
        with self._lock:
            if time.monotonic() >= self._fetched_at + REFETCH_SECONDS:
                self._fetched_at = time.monotonic()
                try:
                    self._keys = _fetch_in_time(self.url, self._timeout_seconds)
                except DeliveryError as error:
                    self._failure = error
                else:
                    self._failure = None
            if self._failure is not None:
                raise self._failure.with_traceback(None)
        return self._unexpired()

    def _unexpired(self) -> list[ec.EllipticCurvePublicKey]:
        now = datetime.now(UTC)
        return [key for key, expires_at in self._keys if expires_at > now]


def _fetch_in_time(
    url: str, timeout_seconds: float
) -> list[tuple[ec.EllipticCurvePublicKey, datetime]]:
    """Fetch the keys within a total time, which `requests` knows only for each single read."""
    fetched: Future[list[tuple[ec.EllipticCurvePublicKey, datetime]]] = Future()

    def fetch() -> None:
        try:
            fetched.set_result(_fetch(url, timeout_seconds))
        except Exception as error:  # handed to the thread that waits
            fetched.set_exception(error)

    threading.Thread(target=fetch, name="google-callback-keys", daemon=True).start()
    try:
        return fetched.result(timeout_seconds)
    except TimeoutError as error:
        raise NetworkError("Google's callback keys did not arrive in time.") from error


def _fetch(url: str, timeout_seconds: float) -> list[tuple[ec.EllipticCurvePublicKey, datetime]]:
    try:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(url, timeout=timeout_seconds, allow_redirects=False)
    except requests.RequestException as error:
        raise NetworkError(
            f"Google's callback keys cannot be fetched: {type(error).__name__}"
        ) from error
    if answer.status_code != requests.codes.ok:
        raise UnavailableError(
            "Google's callback keys cannot be fetched.", http_status=answer.status_code
        )
    try:
        return [
            (_public_key(_text(entry, "keyValue")), _moment(entry, "keyExpiration"))
            for entry in answer.json()["keys"]
            if entry.get("protocolVersion") == PROTOCOL
        ]
    except (ForgedCallbackError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnavailableError("What Google's key server answered is not its keys.") from error


def claimed_issuer(body: bytes) -> str:
    """Return the issuer whose card a callback says that it is about; nothing is verified yet.

    Raises ForgedCallbackError when it does not say.
    """
    message = _object(_text(_object(body), "signedMessage"))
    return _text(message, "objectId").partition(".")[0]


def verify(body: bytes, *, issuer_id: str, roots: RootKeys) -> Callback:
    """Return the callback in `body` when Google signed it for this issuer and it has not expired.

    Raises ForgedCallbackError for anything else, NetworkError and UnavailableError when Google's
    keys cannot be fetched.
    """
    envelope = _object(body)
    if _text(envelope, "protocolVersion") != PROTOCOL:
        raise ForgedCallbackError(f"Its protocol is not {PROTOCOL}.")
    intermediate = envelope.get("intermediateSigningKey")
    if not isinstance(intermediate, dict):
        raise ForgedCallbackError("It has no intermediate signing key.")
    # The strings are verified exactly as they came: spelt otherwise they are not what was signed.
    signed_key = _text(intermediate, "signedKey")
    signed_message = _text(envelope, "signedMessage")
    key = _object(signed_key)
    _require_unexpired(_moment(key, "keyExpiration"), "intermediate key")
    message_signed = _length_value(SENDER, issuer_id, PROTOCOL, signed_message)
    if not _is_signed(
        message_signed, _text(envelope, "signature"), by=[_public_key(_text(key, "keyValue"))]
    ):
        raise ForgedCallbackError("Its signature is wrong, or it is for another issuer.")
    _require_root(_length_value(SENDER, PROTOCOL, signed_key), _signatures(intermediate), roots)
    return _callback(_object(signed_message), issuer_id)


def _require_root(signed: bytes, signatures: Sequence[str], roots: RootKeys) -> None:
    for keys in (roots.get, roots.refresh):
        found = keys()
        if any(_is_signed(signed, signature, by=found) for signature in signatures):
            return
    raise ForgedCallbackError("None of Google's root keys has signed its intermediate key.")


def _callback(message: Mapping[str, Any], issuer_id: str) -> Callback:
    callback = Callback(
        event=_event(message),
        class_id=_text(message, "classId"),
        object_id=_text(message, "objectId"),
        nonce=_text(message, "nonce"),
        expires_at=_moment(message, "expTimeMillis"),
    )
    _require_unexpired(callback.expires_at, "callback")
    for resource_id in (callback.class_id, callback.object_id):
        if not resource_id.startswith(f"{issuer_id}."):
            raise ForgedCallbackError("It is about another issuer's card.")
    return callback


def _event(message: Mapping[str, Any]) -> Event:
    try:
        return Event(_text(message, "eventType").lower())
    except ValueError as error:
        raise ForgedCallbackError("Its event is neither save nor del.") from error


def _require_unexpired(expires_at: datetime, what: str) -> None:
    if expires_at <= datetime.now(UTC):
        raise ForgedCallbackError(f"The {what} has expired.")


def _length_value(*parts: str) -> bytes:
    """Return each part after its length in bytes, as four little-endian bytes."""
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    return b"".join(len(part).to_bytes(4, "little") + part for part in encoded)


def _is_signed(signed: bytes, signature: str, *, by: Sequence[ec.EllipticCurvePublicKey]) -> bool:
    raw = _decode(signature)
    for key in by:
        try:
            key.verify(raw, signed, ec.ECDSA(SHA256()))
        except InvalidSignature:
            continue
        return True
    return False


def _public_key(text: str) -> ec.EllipticCurvePublicKey:
    try:
        key = load_der_public_key(_decode(text))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ForgedCallbackError("Its key is not a public key.") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ForgedCallbackError("Its key is not one of the curve P-256.")
    return key


def _signatures(intermediate: Mapping[str, Any]) -> list[str]:
    signatures = intermediate.get("signatures")
    if not isinstance(signatures, list) or not all(isinstance(text, str) for text in signatures):
        raise ForgedCallbackError("Its intermediate key has no signatures.")
    return signatures[:MOST_SIGNATURES]


def _object(content: bytes | str) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ForgedCallbackError("It is not JSON.") from error
    if not isinstance(value, dict):
        raise ForgedCallbackError("It is not a JSON object.")
    return value


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    if not isinstance(value, str) or not value:
        raise ForgedCallbackError(f"It has no {name}.")
    return value


def _moment(values: Mapping[str, Any], name: str) -> datetime:
    """Return the moment of milliseconds since 1970, which Google sends as text or as a number."""
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ForgedCallbackError(f"It has no {name}.")
    try:
        return datetime.fromtimestamp(int(value) / 1000, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise ForgedCallbackError(f"Its {name} is no moment.") from error


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ForgedCallbackError("It is not base64 where it should be.") from error
