"""Which passes were seen, in little memory."""

from __future__ import annotations

from loyalty_wallet.sync.drift.marks import CHUNK_BITS, Marks


def test_marks() -> None:
    """A bit for each key, wherever it is."""
    marks = Marks()
    keys = {0, 1, 7, 8, CHUNK_BITS - 1, CHUNK_BITS, 10**12}
    for pk in keys:
        marks.add(pk)
    around = {pk + step for pk in keys for step in (-1, 0, 1) if pk + step >= 0}
    assert {pk for pk in around if pk in marks} == keys
    assert len(marks._chunks) == 3
