"""Whether Google has what was sent, although it spells it otherwise when it is asked.

Google answers enums in camelCase whatever was sent, adds `kind` to nested objects, and sets fields
of its own. Compared is what is ours: fields that others added to an object are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from ..base import Payload

LEFT_OUT: Mapping[str, tuple[str, ...]] = {
    "barcode": ("alternateText",),
    "validTimeInterval": ("start",),
}
"""What of ours is left out where it is empty: should Google have it all the same, it is wrong."""


def differing_fields(payload: Payload, found: Payload) -> list[str]:
    """Return the names of the fields in `payload` that `found` has otherwise, in order."""
    # Some databases keep the fields of JSON in an order of their own.
    fields = sorted(payload.items())
    return [name for name, value in fields if not _is_same(value, found.get(name), name)]


def _is_same(ours: Any, theirs: Any, path: str) -> bool:
    if _is_empty(ours) or _is_empty(theirs):
        return _is_empty(ours) and _is_empty(theirs)
    if isinstance(ours, Mapping):
        expected = {**dict.fromkeys(LEFT_OUT.get(path, ())), **ours}
        return isinstance(theirs, Mapping) and all(
            _is_same(value, theirs.get(name), f"{path}.{name}") for name, value in expected.items()
        )
    if isinstance(ours, list):
        return (
            isinstance(theirs, list)
            and len(ours) == len(theirs)
            and all(_is_same(*pair, path) for pair in zip(ours, theirs, strict=True))
        )
    spelling = _SPELLINGS.get(path)
    return bool(ours == theirs if spelling is None else spelling(ours) == spelling(theirs))


def _is_empty(value: Any) -> bool:
    """Say whether an answer may leave the value out: nothing, zero, or what holds only such."""
    if isinstance(value, Mapping):
        return all(map(_is_empty, value.values()))
    return value in (None, "", 0, [])


def _plain(value: Any) -> str:
    return str(value).replace("_", "").casefold()


def _moment(value: Any) -> object:
    """Return the moment that a text names, whatever its time zone, or the text that names none."""
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        return value


_SPELLINGS: Mapping[str, Callable[[Any], object]] = {
    "state": _plain,
    "barcode.type": _plain,
    "validTimeInterval.end.date": _moment,
}
