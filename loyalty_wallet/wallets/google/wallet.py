"""Google Wallet as a wallet: one loyalty class per program, one loyalty object per card."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from ...cards import Card, Program
from ...exceptions import ClassMissingError, DeliveryError, LeaseLostError, NotFoundError
from ..base import (
    Outcome,
    PassUpdate,
    Payload,
    Permit,
    ProbeResult,
    ProgramUpdate,
    Session,
    Wallet,
    canonical_json,
    is_safe_url,
)
from .answers import AlreadyExistsError
from .client import HEADERS, Attempt, GoogleClient
from .credentials import KeySource, ServiceAccount, TokenKeeper
from .payloads import DEFAULT_LOGO_URL, LABELS, loyalty_class, loyalty_object

API_URL = "https://walletobjects.googleapis.com"
CLASSES = "loyaltyClass"
OBJECTS = "loyaltyObject"
_REVIEW_STATUSES = {
    "rejected": "rejected",
    "draft": "draft",
    "underreview": "under_review",
    "approved": "approved",
}


class GoogleWallet(Wallet):
    """Google Wallet for one issuer.

    `credentials` is the service-account JSON: a path, its text, its content, or a callable that
    returns one of these. `api_url` is the root without a path. `default_logo_url` is the logo of
    programs that have none: Google requires one.

    Google publishes a limit of 20 requests per second and advises a timeout of 10 s (Wallet FAQ).
    """

    provider = "google"
    field_labels = LABELS
    count_names = (
        "created",
        "updated",
        "unchanged",
        "failed",
        "deferred",
        "attempts",
        "requests",
    )

    def __init__(
        self,
        alias: str,
        *,
        issuer_id: str,
        credentials: KeySource,
        api_url: str = API_URL,
        default_logo_url: str = DEFAULT_LOGO_URL,
        **limits: Any,
    ) -> None:
        super().__init__(alias, **limits)
        if not re.fullmatch(r"[0-9]+", str(issuer_id)):
            raise ValueError("issuer_id must be the issuer's number from the Wallet console.")
        if not is_safe_url(api_url):
            raise ValueError("api_url must be https; plain http is for loopback hosts only.")
        root = urlsplit(api_url)
        if not root.hostname or root.path.strip("/") or root.query:
            raise ValueError("api_url must be a root without a path.")
        self.issuer_id = str(issuer_id)
        self.api_url = api_url
        self.default_logo_url = default_logo_url
        self.account = ServiceAccount(credentials, timeout_seconds=self.timeout_seconds)

    def remote_id(self, suffix: str) -> str:
        return f"{self.issuer_id}.{suffix}"

    def program_id(self, program_key: str) -> str:
        if re.fullmatch(r"[A-Za-z0-9._-]{1,100}", program_key):
            return f"{self.issuer_id}.{program_key}"
        return f"{self.issuer_id}.{hashlib.sha256(program_key.encode()).hexdigest()[:32]}"

    def render(self, card: Card, *, remote_id: str, program_id: str) -> Payload:
        return loyalty_object(card, object_id=remote_id, class_id=program_id)

    def render_program(self, program: Program, *, program_id: str) -> Payload:
        return loyalty_class(program, class_id=program_id, default_logo_url=self.default_logo_url)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[GoogleSession]:
        async with self._connect() as client:
            yield GoogleSession(client, timeout_seconds=self.timeout_seconds)

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[GoogleClient]:
        tokens = TokenKeeper(self.account, timeout_seconds=self.timeout_seconds)
        connector = aiohttp.TCPConnector(limit=self.concurrency, ttl_dns_cache=300)
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            headers=HEADERS,
        ) as http:
            yield GoogleClient(http, tokens, api_url=self.api_url)

    def check(self) -> list[str]:
        try:
            self.account.load()
        except DeliveryError as error:
            return [error.message]
        return []

    async def probe(self, program_ids: Collection[str]) -> ProbeResult:
        async with self._connect() as client:
            attempt = Attempt(_permit_everything, timeout_seconds=self.timeout_seconds)
            classes = await client.list_classes(self.issuer_id, attempt)
        ours = [entry for entry in classes if entry.get("id") in program_ids]
        return ProbeResult(is_reachable=True, is_authorised=True, publishing=_publishing(ours))


async def _permit_everything() -> None:
    """One request of a probe's needs neither a lease nor a slot."""


class GoogleSession(Session):
    """Delivers objects, and their classes once a run."""

    def __init__(self, client: GoogleClient, *, timeout_seconds: float) -> None:
        self._client = client
        self._timeout_seconds = timeout_seconds
        self._classes: dict[str, asyncio.Task[None]] = {}

    def begin_run(self) -> None:
        self._classes = {}

    async def authenticate(self) -> None:
        await self._client.authenticate()

    async def deliver(self, update: PassUpdate, permit: Permit) -> Outcome:
        attempt = Attempt(permit, timeout_seconds=self._timeout_seconds)
        program = update.program
        if not program.is_known:
            await self._ensure_class(program, permit)
        outcome = Outcome.UNCHANGED
        if update.is_changed:
            outcome = await self._put_object(update, attempt)
        # A known class comes last: new colours must not hold back a balance.
        if program.is_known and program.is_changed:
            await self._ensure_class(program, permit)
        return outcome

    async def _put_object(self, update: PassUpdate, attempt: Attempt) -> Outcome:
        body = update.body
        if update.notify:
            # Not part of what is remembered: Google forgets it after the one request.
            body = canonical_json({**update.payload, "notifyPreference": "NOTIFY_ON_UPDATE"})
        try:
            await self._client.patch(OBJECTS, update.remote_id, body, attempt)
        except NotFoundError:
            if not update.may_create:
                raise
        else:
            return Outcome.UPDATED
        try:
            await self._insert_object(update, attempt)
        except AlreadyExistsError:
            # Somebody inserted it just now, or our own insert landed and its answer was lost.
            await self._client.patch(OBJECTS, update.remote_id, body, attempt)
            return Outcome.UPDATED
        return Outcome.CREATED

    async def _insert_object(self, update: PassUpdate, attempt: Attempt) -> None:
        object_id, payload = update.remote_id, update.payload
        try:
            await self._client.insert(OBJECTS, object_id, payload, attempt)
        except NotFoundError:
            # The class is gone though we knew it.
            await self._ensure_class(update.program, attempt.permit, is_lost=True)
        else:
            return
        try:
            await self._client.insert(OBJECTS, object_id, payload, attempt)
        except NotFoundError as error:
            raise _class_missing(error) from error

    async def _ensure_class(
        self, program: ProgramUpdate, permit: Permit, *, is_lost: bool = False
    ) -> None:
        """Bring the class up to date once for all cards that wait for it.

        A failure that no retry mends is remembered, so that it costs one request, not one a card.
        """
        key = f"lost {program.remote_id}" if is_lost else program.remote_id
        while True:
            task = self._classes.get(key)
            is_ours = task is None or (task.done() and _may_succeed_later(task))
            if task is None or is_ours:
                task = asyncio.create_task(self._put_class(program, permit))
                self._classes[key] = task
            try:
                await asyncio.shield(task)
            except LeaseLostError:
                if is_ours:
                    raise
                # It was another card's lease that ended: go on with our own.
            else:
                return

    async def _put_class(self, program: ProgramUpdate, permit: Permit) -> None:
        attempt = Attempt(permit, timeout_seconds=self._timeout_seconds)
        class_id, body = program.remote_id, canonical_json(program.payload)
        try:
            await self._client.patch(CLASSES, class_id, body, attempt)
        except NotFoundError:
            try:
                await self._client.insert(CLASSES, class_id, program.payload, attempt)
            except AlreadyExistsError:
                await self._client.patch(CLASSES, class_id, body, attempt)
            except NotFoundError as error:
                raise _class_missing(error) from error


def _publishing(classes: Iterable[Mapping[str, Any]]) -> str:
    """Return the worst review status: cards of that program cannot be added."""
    # Google answers in both spellings: UNDER_REVIEW and underReview.
    statuses = {str(entry.get("reviewStatus")).replace("_", "").lower() for entry in classes}
    return next(
        (name for status, name in _REVIEW_STATUSES.items() if status in statuses), "unknown"
    )


def _may_succeed_later(task: asyncio.Task[None]) -> bool:
    if task.cancelled():
        return True
    error = task.exception()
    if isinstance(error, DeliveryError):
        return error.is_retryable
    return error is not None


def _class_missing(error: NotFoundError) -> ClassMissingError:
    return ClassMissingError(error.message, http_status=error.http_status, reason=error.reason)
