"""Apple's push service: tells a device that there is news, over one connection per pass type.

Source: Apple, "Sending notification requests to APNs" and "Adding a Web Service to Update Passes".
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import quote, urlsplit
from weakref import WeakSet

from hpack import NeverIndexedHeaderTuple

from ...exceptions import DeliveryTimeoutError, NetworkError
from . import apns_answers
from .apns_answers import PushReply, read_reason, reply_for
from .http2 import Connection, Headers, connect
from .push_tokens import PushToken
from .streams import NotProcessedError

DEFAULT_PORT = 443
EXPIRATION_SECONDS = 86_400
"""For how long APNs keeps a push for a device that is off; it keeps one per topic."""
MOST_IDLE_SECONDS = 300
"""A connection that was silent for longer is replaced: what lies between may have dropped it."""
MOST_RESENDS = 3
"""Of a push that the peer has not looked at, within one attempt."""

_BODY = b"{}"
_ABOUT_CERTIFICATES = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED")
"""In the names of the alerts with which TLS refuses a client."""


class ApnsClient:
    """Pushes to the devices of one pass type. Belongs to one event loop.

    `url` is APNs' root, `topic` the pass type identifier. `context` gives the TLS settings for
    each new connection and is called in a thread; with a `token` pushes are authenticated by that
    instead of the connection's certificate. `timeout_seconds` is for the whole of one push: to
    connect, wait for a free stream, send, and be answered. Nothing here can last longer.

    Raises ValueError for a URL that is not https.
    """

    def __init__(  # noqa: PLR0913
        self,
        url: str,
        *,
        topic: str,
        context: Callable[[], ssl.SSLContext],
        timeout_seconds: float,
        token: PushToken | None = None,
        push_type: str = "",
        priority: int = 10,
        expiration_seconds: int = EXPIRATION_SECONDS,
    ) -> None:
        self._host, self._port = host_and_port(url)
        self._timeout_seconds = timeout_seconds
        self._context = context
        self._token = token
        self._expiration_seconds = expiration_seconds
        self._pseudo_headers = [
            (b":method", b"POST"),
            (b":scheme", b"https"),
            (b":authority", urlsplit(url).netloc.encode()),
        ]
        self._headers = [
            (b"apns-topic", topic.encode()),
            (b"apns-priority", str(priority).encode()),
        ]
        if push_type:
            self._headers.append((b"apns-push-type", push_type.encode()))
        self._current: Connection | None = None
        self._opening: asyncio.Task[Connection] | None = None
        self._connections: WeakSet[Connection] = WeakSet()
        self._is_closed = False

    async def push(self, push_token: str) -> PushReply:
        """Tell one device; return what APNs says of it.

        Raises NetworkError, DeliveryTimeoutError and what `reply_for` raises.
        """
        used: list[Connection] = []
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._push(push_token, used)
        except TimeoutError as error:
            for connection in used:
                # It may be dead: the next push goes over another one.
                connection.retire()
            raise DeliveryTimeoutError("APNs did not answer in time.") from error

    async def ping(self) -> None:
        """Connect, and wait for a sign that the connection and its certificate are accepted.

        Pushes nothing. Raises NetworkError, DeliveryTimeoutError and MisconfiguredError.
        """
        connection = await self._connected()
        await connection.ping()

    async def aclose(self) -> None:
        """Close all connections; pushes under way end with a NetworkError."""
        self._is_closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        for connection in list(self._connections):
            connection.abort()

    async def _push(self, push_token: str, used: list[Connection]) -> PushReply:
        token = await self._provider_token()
        resends = 0
        while resends <= MOST_RESENDS:
            connection = await self._connected()
            used.append(connection)
            try:
                answer = await connection.request(self._request(push_token, token), _BODY)
            except NotProcessedError:
                # A connection that ended after it had served others was no failure of the peer's.
                resends += connection.is_usable or not connection.has_answered
                continue
            reason, _content = read_reason(answer.body)
            if reason in (apns_answers.SHUTDOWN, apns_answers.IDLE_TIMEOUT):
                connection.retire()
            if reason == apns_answers.IDLE_TIMEOUT:
                resends += 1
                continue
            if reason == apns_answers.EXPIRED_PROVIDER_TOKEN:
                refused, token = token, await self._provider_token(refused=token)
                if token != refused:
                    continue
            return reply_for(answer.status, answer.headers, answer.body)
        raise NetworkError("APNs ended one connection after another before it took the push.")

    async def _provider_token(self, *, refused: str = "") -> str:
        if self._token is None:
            return ""
        if refused or self._token.is_due:
            # The key may come from afar.
            return await asyncio.to_thread(self._token.get, refused=refused)
        return self._token.get()

    def _request(self, push_token: str, token: str) -> Headers:
        expiration = int(time.time()) + self._expiration_seconds
        headers = [
            *self._pseudo_headers,
            # Apple wants paths and tokens kept out of the table of headers; both are secrets too.
            NeverIndexedHeaderTuple(b":path", f"/3/device/{quote(push_token, safe='')}".encode()),
            *self._headers,
            NeverIndexedHeaderTuple(b"apns-expiration", str(expiration).encode()),
        ]
        if token:
            headers.append(NeverIndexedHeaderTuple(b"authorization", f"bearer {token}".encode()))
        return headers

    async def _connected(self) -> Connection:
        """Return an open connection; the first of those who need a new one opens it for all."""
        if self._is_closed:
            raise NetworkError("The client was closed.")
        current = self._current
        if current is not None and current.idle_seconds > MOST_IDLE_SECONDS:
            current.retire()
        if current is not None and current.is_usable:
            return current
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(_retrieve)
        opening = self._opening
        # Not awaited itself: one who gives up must not take the connection from the others.
        await asyncio.wait([opening])
        if opening.cancelled():
            raise NetworkError("The client was closed.")
        return opening.result()

    async def _open(self) -> Connection:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                context = await asyncio.to_thread(self._context)
                self._current = await connect(self._host, self._port, context)
                self._connections.add(self._current)
                return self._current
        except TimeoutError as error:
            raise DeliveryTimeoutError("APNs could not be reached in time.") from error
        finally:
            self._opening = None


def host_and_port(url: str) -> tuple[str, int]:
    """Return where APNs is. Raises ValueError unless `url` is an https root."""
    with suppress(ValueError):
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or DEFAULT_PORT
        is_root = not (parts.path.strip("/") or parts.query)
        # What cannot be encoded is no host name.
        if parts.scheme == "https" and host.encode("idna") and is_root:
            return host, port
    raise ValueError("apns_url must be an https root without a path.")


def refused_certificate(error: NetworkError) -> str | None:
    """Return why the peer did not take our certificate; None if that is not what went wrong."""
    cause = error.__cause__
    reason = (cause.reason or "") if isinstance(cause, ssl.SSLError) else ""
    is_about_us = "ALERT" in reason and any(word in reason for word in _ABOUT_CERTIFICATES)
    return reason if is_about_us else None


def _retrieve(task: asyncio.Task[Connection]) -> None:
    """Take notice of a failure that nobody may be waiting for any more."""
    if not task.cancelled():
        task.exception()
