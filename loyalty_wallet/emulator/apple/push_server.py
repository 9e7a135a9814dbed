"""The emulated APNs' side of one HTTP/2 connection."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, RequestReceived, StreamEnded, StreamReset
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings
from hpack import NeverIndexedHeaderTuple
from hyperframe.frame import GoAwayFrame

from ...wallets.apple.frames import RepeatingEncoder

if TYPE_CHECKING:
    from .apns import ApnsEmulator

SENT_TOGETHER = 16
SWEEP_EVERY = 256
"""Requests between two looks at which streams have ended."""


class ServerFrames(H2Connection):
    """h2, counting its open streams when it must: it would count them all for each new one."""

    def __init__(self, apns: ApnsEmulator) -> None:
        super().__init__(
            H2Configuration(
                client_side=False,
                header_encoding="utf-8",
                validate_inbound_headers=apns.validates_headers,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.encoder = RepeatingEncoder()
        self._most_open = 0
        self._asked = 0

    @property
    def open_inbound_streams(self) -> int:
        self._asked += 1
        limit = self.local_settings.max_concurrent_streams
        # Counting is also how h2 lets go of the streams that have ended.
        if self._most_open >= limit or self._asked % SWEEP_EVERY == 0:
            self._most_open = super().open_inbound_streams
        known = self._most_open
        # It asks for each stream that is about to open.
        self._most_open += 1
        return known


class PushConnection(asyncio.Protocol):
    """Reads pushes, lets the emulator judge them, and answers, or does not."""

    def __init__(self, apns: ApnsEmulator, number: int) -> None:
        self.number = number
        self.client_id = ""
        """The pass type of the client's certificate; empty when it showed none."""
        self._apns = apns
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._h2 = ServerFrames(apns)
        self._requests: dict[int, dict[str, str]] = {}
        self._sizes: dict[int, int] = {}
        self._served = 0
        self._unsent = 0
        self._last_stream_id: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 (for the type checker)  # nosec B101
        self._transport = transport
        subject = (transport.get_extra_info("peercert") or {}).get("subject", ())
        names = dict(pair for parts in subject for pair in parts)
        self.client_id = names.get("userId", "")
        self._apns.connections.append(self)
        self._h2.local_settings = Settings(
            client=False,
            initial_values={SettingCodes.MAX_CONCURRENT_STREAMS: self._apns.max_concurrent_streams},
        )
        self._h2.initiate_connection()
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        with suppress(ValueError):
            self._apns.connections.remove(self)

    def data_received(self, data: bytes) -> None:
        try:
            events = self._h2.receive_data(data)
        except H2Error:
            self.close()
            return
        for event in events:
            self._handle(event)
        self._flush()

    def limit_streams(self, count: int) -> None:
        """Take so many requests at once from now on."""
        self._h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: count})
        self._flush()

    def close(self) -> None:
        """Break the connection."""
        if self._transport is not None:
            self._transport.abort()

    def answer(self, stream_id: int, status: int, apns_id: str, body: bytes = b"") -> None:
        """Answer one request, if it still waits for that."""
        headers = [
            (b":status", b"%d" % status),
            NeverIndexedHeaderTuple(b"apns-id", apns_id.encode()),
        ]
        with suppress(H2Error):
            self._h2.send_headers(stream_id, headers, end_stream=not body)
            if body:
                self._h2.send_data(stream_id, body, end_stream=True)
        self._flush_soon()

    def answer_later(self, seconds: float, stream_id: int, status: int, apns_id: str) -> None:
        self._loop.call_later(seconds, self.answer, stream_id, status, apns_id)

    def reset_stream(self, stream_id: int, code: ErrorCodes) -> None:
        with suppress(H2Error):
            self._h2.reset_stream(stream_id, code)

    def go_away(self, last_stream_id: int, reason: str) -> None:
        """End the connection after this stream: what is under way is answered, nothing later read.

        Said past h2, which would answer nothing any more. The client closes the connection.
        """
        self._flush()
        self._last_stream_id = last_stream_id
        frame = GoAwayFrame(0)
        frame.last_stream_id = last_stream_id
        frame.error_code = int(ErrorCodes.NO_ERROR)
        frame.additional_data = json.dumps({"reason": reason}).encode() if reason else b""
        if self._transport is not None:
            self._transport.write(frame.serialize())

    def _handle(self, event: Event) -> None:
        match event:
            case RequestReceived(stream_id=stream_id, headers=headers):
                self._requests[stream_id] = dict(headers)  # type: ignore[arg-type]
            case DataReceived(stream_id=stream_id):
                size = event.flow_controlled_length or 0
                self._sizes[stream_id] = self._sizes.get(stream_id, 0) + size
                self._h2.acknowledge_received_data(size, stream_id)
            case StreamEnded(stream_id=stream_id):
                self._serve(stream_id)
            case StreamReset(stream_id=stream_id):
                self._requests.pop(stream_id, None)

    def _serve(self, stream_id: int) -> None:
        headers = self._requests.pop(stream_id, None)
        size = self._sizes.pop(stream_id, 0)
        is_too_late = self._last_stream_id is not None and stream_id > self._last_stream_id
        if headers is None or is_too_late:
            return
        self._apns.serve(self, stream_id, headers, size)
        self._served += 1
        if self._apns.goaway_every and self._served == self._apns.goaway_every:
            self.go_away(stream_id, "")

    def _flush_soon(self) -> None:
        """Send answers a few at a time: one write for each is slow, and so is one for them all."""
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


def refusal(reason: str, since: datetime | None = None) -> bytes:
    """Return the body of an answer that refuses a push."""
    content: dict[str, str | int] = {"reason": reason}
    if since is not None:
        content["timestamp"] = int(since.timestamp() * 1000)
    return json.dumps(content).encode()
