"""The emulated Google as one thread-safe value: what it holds, who may ask, what goes wrong."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from .api import WalletApi
from .callbacks import CallbackSigner
from .errors import GoogleApiError, OAuthError
from .faults import ACTIONS_BEFORE, Fault, FaultBook
from .keys import ServiceAccount, service_account
from .log import LoggedRequest, RequestLog
from .quota import Quota
from .routes import TOKEN_PATH, Route, parse_path, parse_query
from .tokens import TokenDesk

WRITING_METHODS = frozenset({"POST", "PATCH", "PUT"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back to the client when nothing goes wrong on the way."""

    status: int
    body: bytes
    retry_after: float | str | None = None


@dataclass(slots=True, kw_only=True)
class GoogleService:
    """Everything the emulator knows. `lock` is held by whoever reads or changes it."""

    issuer_id: str
    api: WalletApi
    tokens: TokenDesk
    faults: FaultBook
    quota: Quota
    log: RequestLog
    latency_seconds: float = 0.0
    callback_signer: CallbackSigner = field(default_factory=CallbackSigner)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def arrive(
        self, method: str, target: str, authorization: str | None, raw: bytes
    ) -> tuple[LoggedRequest, Route]:
        """Take a request down in the log."""
        path, _, query = target.partition("?")
        route = parse_path(path)
        body = _decoded(raw, route)
        resource_id = route.resource_id
        if resource_id is None and route.kind != "token" and isinstance(body, dict):
            sent_id = body.get("id")
            resource_id = sent_id if isinstance(sent_id, str) else None
        entry = LoggedRequest(
            sequence=0,
            method=method,
            path=route.path,
            kind=route.kind,
            resource_id=resource_id,
            query=parse_query(query),
            body=body,
            token=_bearer_token(authorization),
            arrived_at=time.monotonic(),
        )
        with self.lock:
            self.log.open(entry)
        return entry, route

    def draw_fault(self, entry: LoggedRequest) -> tuple[Fault | None, float]:
        """Return what goes wrong with this request, and for how many seconds it is held up."""
        with self.lock:
            fault, delay = self.faults.draw(entry)
        if fault is not None:
            entry.fault = fault.action
        elif delay:
            entry.fault = "latency"
        return fault, delay

    def answer(
        self, entry: LoggedRequest, route: Route, raw: bytes, fault: Fault | None
    ) -> Answer | None:
        """Do what the request asks; None if a fault keeps it from having any effect."""
        if fault is not None and fault.action in ACTIONS_BEFORE:
            return None
        if route.kind == "token":
            return self._grant(entry, raw)
        if route.kind == "keys":
            return Answer(status=200, body=self.callback_signer.keys())
        with self.lock:
            try:
                self.tokens.check(entry.token)
                self.quota.spend()
                body = self.api.handle(entry, route, has_nulls=b"null" in raw)
            except GoogleApiError as error:
                return Answer(
                    status=error.status, body=error.payload(), retry_after=error.retry_after
                )
            if entry.method in WRITING_METHODS:
                self.log.mark_applied(entry)
        return Answer(status=200, body=body)

    def leave(self, entry: LoggedRequest, status: int | None) -> None:
        """Note how a request ended; None if it was closed without an answer."""
        with self.lock:
            self.log.close(entry, status)

    def service_account(self, url: str) -> ServiceAccount:
        """Return the service-account JSON for the emulator at `url`."""
        return service_account(f"{url}{TOKEN_PATH}")

    def reset(self) -> None:
        """Forget resources, log, faults and tokens, and let the service account in again."""
        with self.lock:
            self.api.classes.clear()
            self.api.objects.clear()
            self.api.allowed_issuers = {self.issuer_id}
            self.tokens.revoke_all()
            self.tokens.is_key_revoked = False
            self.faults.heal()
            self.log.clear()

    def state(self) -> dict[str, Any]:
        """Return the emulator's condition in numbers."""
        with self.lock:
            return {
                "issuer_id": self.issuer_id,
                "classes": len(self.api.classes.resources),
                "objects": len(self.api.objects.resources),
                "requests": len(self.log.entries),
                "requests_by_status": self.log.count_by_status(),
                "in_flight_objects": len(self.log.in_flight),
                "max_in_flight_per_object": self.log.max_in_flight_per_object,
                "allowed_issuers": sorted(self.api.allowed_issuers),
                "is_key_revoked": self.tokens.is_key_revoked,
                "requests_per_second": self.quota.requests_per_second,
                "latency_seconds": self.latency_seconds,
                "faults": [fault.as_json() for fault in self.faults],
            }

    def _grant(self, entry: LoggedRequest, raw: bytes) -> Answer:
        if entry.method != "POST":
            refusal = OAuthError("invalid_request", "Only POST is allowed.", status=405)
            return Answer(status=refusal.status, body=refusal.payload())
        try:
            with self.lock:
                return Answer(status=200, body=self.tokens.grant(raw))
        except OAuthError as error:
            return Answer(status=error.status, body=error.payload())


def _decoded(raw: bytes, route: Route) -> Any:
    if not raw:
        return None
    if route.kind == "token":
        return dict(parse_query(raw.decode("utf-8", "replace")))
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


@lru_cache(maxsize=1024)
def _bearer_token(authorization: str | None) -> str | None:
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
