"""Google's side of a callback: its keys, what they sign, and the server that publishes them."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ISSUER = "3388000000000000001"


def length_value(*parts: str) -> bytes:
    return b"".join(len(p.encode()).to_bytes(4, "little") + p.encode() for p in parts)


def millis(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


class Signer:
    """Google's side: a root key, an intermediate key, and what they sign."""

    def __init__(self) -> None:
        self.root = ec.generate_private_key(ec.SECP256R1())
        self.intermediate = ec.generate_private_key(ec.SECP256R1())
        self.expires_at = datetime.now(UTC) + timedelta(days=7)

    def keys(self, **changes: Any) -> dict[str, Any]:
        entry = {
            "keyValue": public(self.root),
            "protocolVersion": "ECv2SigningOnly",
            "keyExpiration": str(millis(self.expires_at)),
        }
        return {"keys": [{**entry, **changes}]}

    def callback(self, *, issuer: str = ISSUER, **changes: Any) -> dict[str, Any]:
        message = {
            "classId": f"{issuer}.club",
            "objectId": f"{issuer}.4711",
            "eventType": "save",
            "expTimeMillis": millis(datetime.now(UTC) + timedelta(hours=1)),
            "count": 1,
            "nonce": "c1359b53",
            **changes,
        }
        return self.sign(json.dumps(message, ensure_ascii=False), issuer=issuer)

    def sign(self, message: str, *, issuer: str = ISSUER) -> dict[str, Any]:
        signed_key = json.dumps(
            {
                "keyValue": public(self.intermediate),
                "keyExpiration": str(millis(self.expires_at)),
            }
        )
        by_root = length_value("GooglePayPasses", "ECv2SigningOnly", signed_key)
        by_key = length_value("GooglePayPasses", issuer, "ECv2SigningOnly", message)
        return {
            "signature": signature(self.intermediate, by_key),
            "protocolVersion": "ECv2SigningOnly",
            "intermediateSigningKey": {
                "signedKey": signed_key,
                "signatures": [signature(self.root, by_root)],
            },
            "signedMessage": message,
        }


def public(key: ec.EllipticCurvePrivateKey) -> str:
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


def signature(key: ec.EllipticCurvePrivateKey, content: bytes) -> str:
    return base64.b64encode(key.sign(content, ec.ECDSA(SHA256()))).decode()


class KeyServer:
    """Serves root keys on a real socket and counts who asks."""

    def __init__(self) -> None:
        self.answer = b""
        self.status = 200
        self.location = ""
        self.requests = 0
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.requests += 1
                self.send_response(owner.status)
                self.send_header("Content-Length", str(len(owner.answer)))
                if owner.location:
                    self.send_header("Location", owner.location)
                self.end_headers()
                self.wfile.write(owner.answer)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/keys"

    def publish(self, keys: dict[str, Any]) -> None:
        self.answer = json.dumps(keys).encode()


@contextmanager
def serving() -> Iterator[KeyServer]:
    server = KeyServer()
    thread = threading.Thread(target=server.server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.server.shutdown()
    server.server.server_close()
    thread.join()
