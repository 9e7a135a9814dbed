"""Which passes an audit has met: one bit a pass, so that millions take a few hundred kilobytes."""

from __future__ import annotations

CHUNK_BITS = 65_536


class Marks:
    """A set of primary keys."""

    def __init__(self) -> None:
        self._chunks: dict[int, bytearray] = {}

    def __contains__(self, pk: int) -> bool:
        chunk = self._chunks.get(pk // CHUNK_BITS)
        byte, bit = divmod(pk % CHUNK_BITS, 8)
        return chunk is not None and bool(chunk[byte] & 1 << bit)

    def add(self, pk: int) -> None:
        chunk = self._chunks.setdefault(pk // CHUNK_BITS, bytearray(CHUNK_BITS // 8))
        byte, bit = divmod(pk % CHUNK_BITS, 8)
        chunk[byte] |= 1 << bit
