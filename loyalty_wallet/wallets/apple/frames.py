"""h2 as a client needs it that has much under way, and finishes it after GOAWAY."""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterable
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import FrameTooLargeError
from hpack import Encoder, NeverIndexedHeaderTuple

_hpack = logging.getLogger("hpack")
if _hpack.level == logging.NOTSET:
    # At DEBUG it writes down each header: push tokens and provider tokens among them. A project
    # whose log takes DEBUG from everybody does not mean that.
    _hpack.setLevel(logging.INFO)


SWEEP_EVERY = 256
"""Requests between two looks at which streams have ended."""
MOST_FRAME_BYTES = 16_384
"""What a peer may send unless it was told otherwise, and we do not tell it."""

_FRAME_HEADER = struct.Struct(">HBBBL")
_GOAWAY = 0x07
_INDEXED = 0x80
_CONFIGURATION = H2Configuration(
    client_side=True,
    header_encoding=None,
    # Ours are lower-case and complete, and of the peer's only three are read: checking every
    # character of all of them doubles the cost of a request.
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
    validate_inbound_headers=False,
    normalize_inbound_headers=False,
)


class RepeatingEncoder(Encoder):
    """HPACK for requests that are alike: what repeats is looked up once, not for each of them.

    An entry that is added to the table moves all others, so that nothing is known any more; what
    never is the same must therefore never be indexed. Huffman codes are left out: they cost more
    time than the digits of a token gain in bytes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[tuple[bytes, bytes], bytes] = {}

    def encode(self, headers: Iterable[Any], huffman: bool = False) -> bytes:
        if self.header_table.resized:
            self._known.clear()
        return b"".join([self._encode(header, huffman) for header in headers])

    def _encode(self, header: tuple[bytes, bytes], huffman: bool) -> bytes:
        if isinstance(header, NeverIndexedHeaderTuple):
            return super().encode((header,), huffman)
        encoded = self._known.get(header)
        if encoded is None:
            encoded = super().encode((header,), huffman)
            if encoded[0] & _INDEXED:
                self._known[header] = encoded
            else:
                self._known.clear()
        return encoded


class ClientFrames(H2Connection):
    """h2, told how many streams are open: it would count them all for each new one."""

    def __init__(self) -> None:
        super().__init__(_CONFIGURATION)
        self.encoder = RepeatingEncoder()
        self.under_way = 0
        self._asked = 0

    @property
    def open_outbound_streams(self) -> int:
        self._asked += 1
        if self._asked % SWEEP_EVERY == 0:
            # Counting is also how h2 lets go of the streams that have ended.
            return super().open_outbound_streams
        return self.under_way


class GoAwayFilter:
    """Takes GOAWAY frames out of a stream of frames: h2 would go on with no stream after one."""

    def __init__(self) -> None:
        self._rest = b""

    def split(self, data: bytes) -> tuple[bytes, list[tuple[int, str]]]:
        """Return whole frames but for GOAWAY, and of each GOAWAY its last stream and its reason.

        Raises FrameTooLargeError: nobody who speaks HTTP/2 with us sends such a frame.
        """
        data = self._rest + data
        passed, goaways = [], []
        begin = start = 0
        while len(data) - start >= _FRAME_HEADER.size:
            high, low, kind, _, _ = _FRAME_HEADER.unpack_from(data, start)
            length = high << 8 | low
            if length > MOST_FRAME_BYTES:
                raise FrameTooLargeError(f"A frame of {length:,} bytes.")
            end = start + _FRAME_HEADER.size + length
            if end > len(data):
                break
            if kind == _GOAWAY:
                passed.append(data[begin:start])
                goaways.append(_read_goaway(data[start + _FRAME_HEADER.size : end]))
                begin = end
            start = end
        passed.append(data[begin:start])
        self._rest = data[start:]
        return b"".join(passed), goaways


def _read_goaway(payload: bytes) -> tuple[int, str]:
    last_stream_id = int.from_bytes(payload[:4], "big") & 0x7FFFFFFF
    said = payload[8:].decode("utf-8", "replace")
    return last_stream_id, f": {said}" if said else ""
