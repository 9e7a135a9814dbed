"""`ApnsEmulator`: the emulated push service, in a thread of this process."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from types import TracebackType
from typing import Self
from urllib.parse import unquote

from h2.errors import ErrorCodes

from ..loopback import LoopbackServer, require_loopback
from .authority import Authority
from .provider_tokens import reason_to_refuse
from .push_faults import ANSWERS, PushFault, PushFaults
from .push_server import PushConnection, refusal

PATH = "/3/device/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """One push as it arrived. `status` is None when it was not answered."""

    push_token: str
    topic: str
    headers: dict[str, str]
    at: datetime
    connection: int
    status: int | None
    reason: str = ""


@dataclass(eq=False)
class ApnsEmulator:
    """An APNs on a loopback port: HTTP/2 over TLS, certificates or tokens, faults to order.

    Use it as a context manager, or call `start()` and `stop()`: it starts again on the same port,
    so a stop is an outage. Without `validates_headers` it takes more pushes a second. `pushes` are those that it looked at, refused ones too. `on_push` is
    called for each accepted one, in the emulator's own thread.
    """

    authority: Authority
    _: KW_ONLY
    host: str = "127.0.0.1"
    port: int = 0
    max_concurrent_streams: int = 1000
    goaway_every: int | None = None
    latency_seconds: float = 0.0
    validates_headers: bool = True
    on_push: Callable[[Push], None] | None = None
    pushes: list[Push] = field(init=False, default_factory=list, repr=False)
    connections: list[PushConnection] = field(init=False, default_factory=list, repr=False)
    connections_made: int = field(init=False, default=0)
    _faults: PushFaults = field(init=False, default_factory=PushFaults, repr=False)
    _server: LoopbackServer = field(init=False, repr=False)
    _loop: asyncio.AbstractEventLoop | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        require_loopback(self.host)
        self._server = LoopbackServer(self._listen, host=self.host, port=self.port, scheme="https")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The root URL; known once it has been started."""
        return self._server.url

    def start(self) -> None:
        """Serve; raises OSError if the port is taken."""
        self._server.start()

    def stop(self) -> None:
        """Break all connections and stop serving, as if APNs were unreachable."""
        self._server.stop()

    def fail(
        self,
        push_token: str | None,
        fault: str,
        *,
        times: int | None = None,
        since: datetime | None = None,
        seconds: float = 1.0,
    ) -> None:
        """Let pushes to one device, or to all with None, go wrong so many times, or for ever.

        `since` is what a 410 says of when the token died; `seconds` how late a slow answer is.
        Raises ValueError for a fault that does not exist.
        """
        self._faults.order(push_token, fault, times=times, since=since, seconds=seconds)

    def heal(self) -> None:
        """Let everything go well again."""
        self._faults.heal()

    def limit_streams(self, count: int) -> None:
        """Take so many requests at once, on open connections too."""
        self.max_concurrent_streams = count
        self._in_loop(lambda connection: connection.limit_streams(count))

    def break_connections(self) -> None:
        """Close all connections without a word."""
        self._in_loop(PushConnection.close)

    def serve(
        self, connection: PushConnection, stream_id: int, headers: dict[str, str], size: int
    ) -> None:
        """Judge one push and let the connection answer it."""
        push_token = unquote(headers.get(":path", "").removeprefix(PATH))
        apns_id = headers.get("apns-id") or str(uuid.uuid4()).upper()
        fault = self._faults.draw(push_token)
        if fault is not None and fault.name not in ANSWERS:
            self._misbehave(connection, stream_id, headers, fault, apns_id)
            return
        name = fault.name if fault else self._objection(connection, headers, size)
        if not name:
            self._log(connection, headers, HTTPStatus.OK)
            if self.latency_seconds:
                connection.answer_later(
                    self.latency_seconds, stream_id, int(HTTPStatus.OK), apns_id
                )
            else:
                connection.answer(stream_id, int(HTTPStatus.OK), apns_id)
            return
        status, reason = ANSWERS[name]
        self._log(connection, headers, status, reason)
        since = fault.since if fault and status == HTTPStatus.GONE else None
        connection.answer(stream_id, status, apns_id, refusal(reason, since))

    def _misbehave(
        self,
        connection: PushConnection,
        stream_id: int,
        headers: dict[str, str],
        fault: PushFault,
        apns_id: str,
    ) -> None:
        match fault.name:
            case "goaway":
                connection.go_away(max(stream_id - 2, 0), "Shutdown")
                return
            case "refuse_stream":
                connection.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)
                return
            case "no_body":
                self._log(connection, headers, HTTPStatus.SERVICE_UNAVAILABLE)
                connection.answer(stream_id, int(HTTPStatus.SERVICE_UNAVAILABLE), apns_id)
                return
            case "slow":
                self._log(connection, headers, HTTPStatus.OK)
                connection.answer_later(fault.seconds, stream_id, int(HTTPStatus.OK), apns_id)
                return
            case "reset_stream":
                connection.reset_stream(stream_id, ErrorCodes.INTERNAL_ERROR)
            case "reset_connection":
                connection.close()
        self._log(connection, headers, None)

    def _objection(self, connection: PushConnection, headers: dict[str, str], size: int) -> str:
        """Return the name of what is wrong with a push, if anything is."""
        topic = headers.get("apns-topic", "")
        bearer = headers.get("authorization", "")
        if headers.get(":method") != "POST":
            return "method_not_allowed"
        if not headers.get(":path", "").startswith(PATH):
            return "bad_path"
        if not size:
            return "payload_empty"
        if bearer:
            return reason_to_refuse(bearer, self.authority) or ("" if topic else "missing_topic")
        if not connection.client_id:
            return "missing_provider_token"
        return "" if topic in ("", connection.client_id) else "topic_disallowed"

    def _log(
        self,
        connection: PushConnection,
        headers: dict[str, str],
        status: int | None,
        reason: str = "",
    ) -> None:
        push = Push(
            push_token=unquote(headers.get(":path", "").removeprefix(PATH)),
            topic=headers.get("apns-topic", ""),
            headers=headers,
            at=datetime.now(UTC),
            connection=connection.number,
            status=None if status is None else int(status),
            reason=reason,
        )
        self.pushes.append(push)
        if status == HTTPStatus.OK and self.on_push is not None:
            self.on_push(push)

    def _in_loop(self, act: Callable[[PushConnection], None]) -> None:
        if self._loop is not None:
            for connection in list(self.connections):
                self._loop.call_soon_threadsafe(act, connection)

    def _accept(self) -> PushConnection:
        self.connections_made += 1
        return PushConnection(self, self.connections_made)

    @asynccontextmanager
    async def _listen(self, host: str, port: int) -> AsyncIterator[int]:
        self._loop = asyncio.get_running_loop()
        server = await self._loop.create_server(
            self._accept, host, port, ssl=self.authority.server_context(), reuse_address=True
        )
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for connection in list(self.connections):
                connection.close()
            await server.wait_closed()
            self._loop = None
