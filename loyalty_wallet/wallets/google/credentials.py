"""Access tokens for a service account.

google-auth signs the assertion and exchanges it; this module adds what it leaves to its caller:
one refresh at a time, ahead of expiry, and errors in our own terms. Only `refresh` is called:
`before_request` would also start lookups at iamcredentials.googleapis.com.
"""

from __future__ import annotations

import asyncio
import functools
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from google.auth.exceptions import GoogleAuthError, RefreshError, TransportError
from google.auth.transport.requests import Request
from google.oauth2 import service_account

from ...exceptions import (
    DeliveryError,
    DeliveryTimeoutError,
    MisconfiguredError,
    NetworkError,
    UnauthorizedError,
    UnavailableError,
)
from ..base import is_safe_url

SCOPE = "https://www.googleapis.com/auth/wallet_object.issuer"
REFRESH_AHEAD_SECONDS = 300
EXPIRY_MARGIN_SECONDS = 10

LONGEST_PATH = 300
REFRESH_PAUSE_SECONDS = 10
"""Between two failed tries to get the next token while the present one still lives."""

KeySource = (
    bytes | str | Path | Mapping[str, Any] | Callable[[], "bytes | str | Path | Mapping[str, Any]"]
)
"""A service-account JSON: its path, its text, its content, or a callable that returns one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An access token; `expires_at` is in seconds of the monotonic clock."""

    value: str = field(repr=False)
    expires_at: float

    def lives_for(self, seconds: float) -> bool:
        return time.monotonic() + seconds < self.expires_at


class ServiceAccount:
    """A service account's key, parsed once, and its current token.

    Safe to share between threads and event loops. The key is read when first needed, and again
    for each token, so that one that was put in its place is taken up within the hour.
    """

    def __init__(self, key: KeySource, *, timeout_seconds: float) -> None:
        self._key = key
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._info: Mapping[str, Any] = {}
        self._credentials: service_account.Credentials | None = None
        self._token: Token | None = None

    @property
    def token(self) -> Token | None:
        return self._token

    def load(self) -> service_account.Credentials:
        """Return the parsed key. Raises MisconfiguredError when it cannot be read."""
        if self._credentials is None:
            return self._newest()
        return self._credentials

    def _newest(self) -> service_account.Credentials:
        """Return the key as it is now; while it is being replaced, the last good one serves on."""
        try:
            info = _read(self._key)
            if self._credentials is None or info != self._info:
                self._credentials, self._info = _parse(info), info
        except MisconfiguredError:
            if self._credentials is None:
                raise
        return self._credentials

    def refresh(self, *, refused: Token | None) -> Token:
        """Return a token other than `refused`, fetching one unless another caller just did.

        Raises MisconfiguredError, UnauthorizedError, UnavailableError or NetworkError.
        """
        with self._lock:
            if self._token is not None and self._token is not refused:
                return self._token
            credentials = self._newest()
            with requests.Session() as session:
                session.trust_env = False
                # A redirect would carry the signed assertion to another host.
                request = functools.partial(
                    Request(session), timeout=self._timeout_seconds, allow_redirects=False
                )
                try:
                    credentials.refresh(request)
                except GoogleAuthError as error:
                    raise _translated(error) from error
                except (KeyError, TypeError, ValueError) as error:
                    # google-auth trips over a token answer that is not the JSON it expects.
                    raise UnavailableError("The token endpoint's answer is no token.") from error
            self._token = _token_of(credentials)
            return self._token


class TokenKeeper:
    """Hands the service account's token to the tasks of one event loop, refreshing it once for all."""

    def __init__(self, account: ServiceAccount, *, timeout_seconds: float) -> None:
        self._account = account
        self._timeout_seconds = timeout_seconds
        self._refreshing: asyncio.Task[Token] | None = None
        self._next_try = 0.0

    async def get(self, *, refused: Token | None = None) -> Token:
        """Return a valid token other than `refused`.

        A token near its expiry is still handed out while one task fetches the next.
        Raises as `ServiceAccount.refresh`, and DeliveryTimeoutError.
        """
        token = self._account.token
        if token is None or token is refused or not token.lives_for(EXPIRY_MARGIN_SECONDS):
            return await self._wait_for_refresh(token)
        now = time.monotonic()
        if not token.lives_for(REFRESH_AHEAD_SECONDS) and now >= self._next_try:
            self._next_try = now + REFRESH_PAUSE_SECONDS
            self._refresh(token)
        return token

    async def _wait_for_refresh(self, refused: Token | None) -> Token:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                # Shielded: one impatient caller must not end the refresh of all the others.
                return await asyncio.shield(self._refresh(refused))
        except TimeoutError as error:
            raise DeliveryTimeoutError("The token endpoint did not answer in time.") from error

    def _refresh(self, refused: Token | None) -> asyncio.Task[Token]:
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(
                asyncio.to_thread(self._account.refresh, refused=refused)
            )
            self._refreshing.add_done_callback(_retrieve)
        return self._refreshing


def _token_of(credentials: service_account.Credentials) -> Token:
    # google-auth leaves a naive moment in UTC here after every refresh.
    expiry = credentials.expiry or datetime.now(UTC)
    lifetime = expiry.replace(tzinfo=UTC) - datetime.now(UTC)
    return Token(
        value=str(credentials.token), expires_at=time.monotonic() + lifetime.total_seconds()
    )


def _retrieve(task: asyncio.Task[Token]) -> None:
    """Take notice of a failed refresh ahead of time: the next caller in need meets it again."""
    if not task.cancelled():
        task.exception()


def _read(key: KeySource) -> Mapping[str, Any]:
    if callable(key):
        try:
            key = key()
        except Exception as error:
            raise MisconfiguredError(
                f"The callable that gives the service-account key raised {type(error).__name__}."
            ) from error
    if isinstance(key, Mapping):
        return key
    text = key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
    text = text.strip().removeprefix("\ufeff")
    if not text.startswith("{"):
        text = _read_file(text)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MisconfiguredError("The service-account key is not JSON.") from error
    if not isinstance(content, dict):
        raise MisconfiguredError("The service-account key is not a JSON object.")
    return content


def _read_file(name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        # What is not a short line may be the key itself, and must not be quoted.
        is_path = len(name) <= LONGEST_PATH and name.isprintable()
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise MisconfiguredError(
            f"The service-account key is not readable: {reason}{f': {name}' if is_path else ''}"
        ) from error


def _parse(info: Mapping[str, Any]) -> service_account.Credentials:
    missing = [name for name in ("client_email", "private_key", "token_uri") if not info.get(name)]
    if missing:
        raise MisconfiguredError(f"The service-account key lacks {', '.join(missing)}.")
    if not is_safe_url(str(info["token_uri"])):
        raise MisconfiguredError("The service-account key's token_uri must be https.")
    try:
        credentials: service_account.Credentials = (
            service_account.Credentials.from_service_account_info(info, scopes=[SCOPE])
        )
    except (ValueError, TypeError, GoogleAuthError) as error:
        # The exception's own text may quote the key.
        raise MisconfiguredError(
            "The service-account key's private_key is not a PEM key."
        ) from error
    return credentials


def _translated(error: GoogleAuthError) -> DeliveryError:
    # google-auth marks an unreachable token host as not retryable; the network decides otherwise.
    if isinstance(error, TransportError):
        return NetworkError(f"The token endpoint cannot be reached: {error}")
    text = str(error.args[0]) if error.args else str(error)
    if isinstance(error, RefreshError) and error.retryable:
        return UnavailableError(f"The token endpoint is in trouble: {text}")
    return UnauthorizedError(f"No access token was granted: {text}")
