"""One HTTP/2 connection as a client of asyncio: many requests at once over one socket.

The protocol itself is h2's; this module adds the socket and the waiting for a free stream. After
GOAWAY the streams that the peer still serves are finished.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    PingAckReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import H2Error

from ...exceptions import NetworkError
from .frames import ClientFrames, GoAwayFilter
from .streams import Answer, NotProcessedError, Stream

Headers = Sequence[tuple[bytes, bytes]]

MOST_BODY_BYTES = 65_536
"""Of an answer; what is longer is cut."""
LEAST_WINDOW_BYTES = 4096
"""What the peer must be ready to take in before another request is sent; ours are far smaller."""
SENT_TOGETHER = 16
STALE_SECONDS = 1.0
"""A connection silent for this long may be dead without our knowing."""


async def connect(host: str, port: int, context: ssl.SSLContext) -> Connection:
    """Open a connection and wait for the peer's settings. Raises NetworkError."""
    loop = asyncio.get_running_loop()
    try:
        _, connection = await loop.create_connection(
            Connection, host, port, ssl=context, server_hostname=host
        )
    except ssl.SSLError as error:
        raise NetworkError(f"TLS with {host}:{port} failed: {error.reason or error}") from error
    except OSError as error:
        raise NetworkError(f"Cannot connect to {host}:{port}: {error.strerror or error}") from error
    try:
        await connection.wait_until_ready()
    except BaseException:
        connection.abort()
        raise
    return connection


class Connection(asyncio.Protocol):
    """An open connection; belongs to one event loop.

    `is_usable` says whether new requests may be made, `has_answered` whether any was answered. What
    is under way when it stops being usable is finished if the peer goes on with it.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.is_usable = True
        self.has_answered = False
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._h2 = ClientFrames()
        self._frames = GoAwayFilter()
        self._ready, self._pong = loop.create_future(), loop.create_future()
        self._streams: dict[int, Stream] = {}
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._reserved = 0
        self._unsent = 0
        self._received_at = time.monotonic()

    # --- For the client -------------------------------------------------------------------------

    @property
    def idle_seconds(self) -> float:
        """For how long nothing has been heard of the peer."""
        return time.monotonic() - self._received_at

    async def wait_until_ready(self) -> None:
        """Wait for the peer's settings: they say how many requests it takes at once."""
        await self._ready

    async def ping(self) -> None:
        """Wait until the peer has heard us and let us stay. Raises NetworkError when it does not."""
        self._h2.ping(bytes(8))
        self._flush()
        await asyncio.shield(self._pong)

    async def request(self, headers: Headers, body: bytes) -> Answer:
        """Send one request and return its answer.

        Waits for a free stream first. Cancelled, it resets its stream and harms no other. Raises
        NotProcessedError when it may be sent again at once, NetworkError when the connection broke.
        """
        await self._reserve()
        self._reserved -= 1
        if not self.is_usable:
            raise NotProcessedError("The connection ended before the request was sent.")
        self._h2.under_way = len(self._streams)
        try:
            stream_id = self._h2.get_next_available_stream_id()
            self._h2.send_headers(stream_id, headers)
            self._h2.send_data(stream_id, body, end_stream=True)
        except H2Error as error:
            # Out of stream ids, or the peer's windows make no sense: a new connection has neither.
            self.retire()
            raise NotProcessedError(f"The connection is used up: {type(error).__name__}") from error
        stream = Stream(self._loop.create_future(), self.idle_seconds > STALE_SECONDS)
        self._streams[stream_id] = stream
        self._flush_soon()
        try:
            return await stream.future
        except asyncio.CancelledError:
            if stream_id in self._streams:
                with suppress(H2Error):
                    self._h2.reset_stream(stream_id, ErrorCodes.CANCEL)
                self._flush_soon()
            raise
        finally:
            self._streams.pop(stream_id, None)
            self._let_in()
            self._close_if_done()

    def retire(self) -> None:
        """Take no new requests; close when the last one under way has ended."""
        self.is_usable = False
        self._let_in()
        self._close_if_done()

    def abort(self) -> None:
        """Close at once."""
        self.is_usable = False
        if self._transport is not None:
            self._transport.abort()

    # --- A free stream --------------------------------------------------------------------------

    async def _reserve(self) -> None:
        if not self._waiting and self._has_room():
            self._reserved += 1
            return
        turn: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._reserved -= 1
                self._let_in()
            raise

    def _has_room(self) -> bool:
        """Whether another request may be sent; one that has ended is told so when its turn comes."""
        if not self.is_usable:
            return True
        limit = self._h2.remote_settings.max_concurrent_streams
        has_window = self._h2.outbound_flow_control_window >= LEAST_WINDOW_BYTES
        return has_window and len(self._streams) + self._reserved < limit

    def _let_in(self) -> None:
        while self._waiting and self._has_room():
            turn = self._waiting.popleft()
            if not turn.done():
                self._reserved += 1
                turn.set_result(None)

    # --- From and to the socket -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 (for the type checker)  # nosec B101
        self._transport = transport
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() != "h2":
            self._fail(NetworkError("The peer does not speak HTTP/2."))
            return
        self._h2.initiate_connection()
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._received_at = time.monotonic()
        try:
            passed, goaways = self._frames.split(data)
            for event in self._h2.receive_data(passed):
                self._handle(event)
        except (H2Error, ValueError, KeyError) as error:
            self._fail(NetworkError(f"The peer broke HTTP/2: {type(error).__name__}"))
            return
        for last_stream_id, reason in goaways:
            self._go_away(last_stream_id, reason)
        self._flush()
        self._let_in()

    def connection_lost(self, error: Exception | None) -> None:
        detail = f": {error}" if error else "."
        failure = NetworkError(f"The peer closed the connection{detail}")
        failure.__cause__ = error
        self._fail(failure)

    def _handle(self, event: Event) -> None:
        match event:
            case RemoteSettingsChanged():
                _settle(self._ready)
            case PingAckReceived():
                _settle(self._pong)
            case ResponseReceived(stream_id=stream_id, headers=headers):
                self.has_answered = True
                if stream := self._streams.get(stream_id):
                    stream.answer.headers = dict(headers)
                    stream.answer.status = int(stream.answer.headers[b":status"])
            case DataReceived():
                self._take_in(event)
            case StreamEnded(stream_id=stream_id):
                if (stream := self._streams.get(stream_id)) and not stream.future.done():
                    stream.future.set_result(stream.answer)
            case StreamReset(stream_id=stream_id, error_code=ErrorCodes.REFUSED_STREAM):
                self._end_stream(stream_id, NotProcessedError("The peer refused the stream."))
            case StreamReset(stream_id=stream_id):
                self._end_stream(stream_id, NetworkError("The peer reset the stream."))

    def _take_in(self, event: DataReceived) -> None:
        self._h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
        stream = self._streams.get(event.stream_id)
        if stream is not None and len(stream.answer.body) < MOST_BODY_BYTES:
            stream.answer.body += event.data or b""

    def _go_away(self, last_stream_id: int, reason: str) -> None:
        for stream_id in [pk for pk in self._streams if pk > last_stream_id]:
            error = NotProcessedError(f"The peer ended the connection{reason}.")
            self._end_stream(stream_id, error)
        self.retire()

    def _end_stream(self, stream_id: int, error: NetworkError) -> None:
        stream = self._streams.get(stream_id)
        if stream is not None and not stream.future.done():
            stream.future.set_exception(error)

    def _fail(self, error: NetworkError) -> None:
        self.is_usable = False
        for waiter in (self._ready, self._pong):
            if not waiter.done():
                waiter.set_exception(error)
                waiter.exception()  # Nobody may be waiting for it.
        for stream in list(self._streams.values()):
            if not stream.future.done():
                stream.future.set_exception(
                    NotProcessedError(error.message) if stream.is_on_stale_connection else error
                )
        self._let_in()
        if self._transport is not None:
            self._transport.abort()

    def _close_if_done(self) -> None:
        if not (self.is_usable or self._streams) and self._transport is not None:
            # Nothing is left to be said; a farewell would wait for the peer's.
            self._transport.abort()

    def _flush_soon(self) -> None:
        """Send requests a few at a time: one write for each is slow, and so is one for them all."""
        self._unsent += 1
        if self._unsent == 1:
            self._loop.call_soon(self._flush)
        elif self._unsent >= SENT_TOGETHER:
            self._flush()

    def _flush(self) -> None:
        self._unsent = 0
        data = self._h2.data_to_send()
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
