"""Google Wallet as a wallet: one loyalty class per program, one loyalty object per card."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from ...cards import Card, Program
from ...exceptions import DeliveryError
from ..base import Payload, ProbeResult, Wallet, is_safe_url
from ..words import LANGUAGES
from .callbacks import KEYS_URL, Callback, RootKeys, verify
from .client import HEADERS, Attempt, GoogleClient
from .credentials import KeySource, ServiceAccount, TokenKeeper
from .dialect import differing_fields
from .payloads import (
    DEFAULT_LOGO_URL,
    HOLDERS,
    LABELS,
    balances,
    blank_object,
    loyalty_class,
    loyalty_object,
)
from .save_links import SAVE_URL, save_link
from .session import GoogleSession

API_URL = "https://walletobjects.googleapis.com"
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
    programs that have none: Google requires one. `callback_url` is where Google tells us that a
    customer saved or removed a card, `callback_keys_url` where it publishes the keys that sign this.
    `holders` says who may have one card: one of `HOLDERS`, or nothing for Google's own choice.
    `language` is that of the labels that are not the shop's own ("Stamps"): one of `LANGUAGES`.
    `save_url` is where save links lead: Google's own page, or an emulator's.

    Google publishes a limit of 20 requests per second and advises a timeout of 10 s (Wallet FAQ).
    """

    provider = "google"
    field_labels = LABELS
    can_notify = True
    can_list = True
    count_names = (
        "created",
        "updated",
        "unchanged",
        "failed",
        "deferred",
        "attempts",
        "requests",
    )

    def __init__(  # noqa: PLR0913
        self,
        alias: str,
        *,
        issuer_id: str,
        credentials: KeySource,
        api_url: str = API_URL,
        default_logo_url: str = DEFAULT_LOGO_URL,
        callback_url: str = "",
        callback_keys_url: str = KEYS_URL,
        holders: str = "",
        language: str = "en",
        save_url: str = SAVE_URL,
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
        if callback_url and not is_safe_url(callback_url):
            raise ValueError("callback_url must be https; plain http is for loopback hosts only.")
        if not is_safe_url(callback_keys_url):
            raise ValueError("callback_keys_url must be https; plain http is for loopback only.")
        if not is_safe_url(save_url):
            raise ValueError("save_url must be https; plain http is for loopback hosts only.")
        if holders not in ("", *HOLDERS):
            raise ValueError(f"holders must be empty or one of {', '.join(HOLDERS)}.")
        if language not in LANGUAGES:
            raise ValueError(f"language must be one of {', '.join(LANGUAGES)}.")
        self.issuer_id = str(issuer_id)
        self.api_url = api_url
        self.default_logo_url = default_logo_url
        self.callback_url = callback_url
        self.callback_keys = RootKeys(callback_keys_url)
        self.holders = holders
        self.language = language
        self.save_url = f"{save_url.rstrip('/')}/"
        self.account = ServiceAccount(credentials, timeout_seconds=self.timeout_seconds)

    def remote_id(self, suffix: str) -> str:
        return f"{self.issuer_id}.{suffix}"

    def program_id(self, program_key: str) -> str:
        if re.fullmatch(r"[A-Za-z0-9._-]{1,100}", program_key):
            return f"{self.issuer_id}.{program_key}"
        return f"{self.issuer_id}.{hashlib.sha256(program_key.encode()).hexdigest()[:32]}"

    def render(self, card: Card, *, remote_id: str, program_id: str) -> Payload:
        return loyalty_object(
            card, object_id=remote_id, class_id=program_id, language=self.language
        )

    def render_blank(self, delivered: Payload, *, remote_id: str, program_id: str) -> Payload:
        class_id = delivered.get("classId") or program_id
        return blank_object(object_id=remote_id, class_id=class_id)

    def render_program(self, program: Program, *, program_id: str) -> Payload:
        return loyalty_class(
            program,
            class_id=program_id,
            default_logo_url=self.default_logo_url,
            callback_url=self.callback_url,
            holders=self.holders,
        )

    def save_link(self, *, object_id: str, class_id: str, origins: Sequence[str] = ()) -> str:
        """Return the link that saves an object which exists at Google; see `save_links`.

        Raises MisconfiguredError and InvalidCardError.
        """
        return save_link(
            self.account,
            object_id=object_id,
            class_id=class_id,
            origins=origins,
            save_url=self.save_url,
        )

    def has_risen(self, delivered: Payload, payload: Payload) -> bool:
        before, now = balances(delivered), balances(payload)
        return any(now[name] > before[name] for name in before.keys() & now.keys())

    def differing_fields(self, payload: Payload, found: Payload) -> list[str]:
        return differing_fields(payload, found)

    def verify_callback(self, body: bytes) -> Callback:
        """Return the callback in `body` when Google signed it for this wallet's issuer.

        Raises ForgedCallbackError, and NetworkError or UnavailableError without Google's keys.
        """
        return verify(body, issuer_id=self.issuer_id, roots=self.callback_keys)

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


def _publishing(classes: Iterable[Mapping[str, Any]]) -> str:
    """Return the worst review status: cards of that program cannot be added."""
    # Google answers in both spellings: UNDER_REVIEW and underReview.
    statuses = {str(entry.get("reviewStatus")).replace("_", "").lower() for entry in classes}
    return next(
        (name for status, name in _REVIEW_STATUSES.items() if status in statuses), "unknown"
    )
