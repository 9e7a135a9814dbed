"""Rows of passes to take over, and how they are read from a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ...exceptions import LoyaltyWalletError

COLUMNS = {
    "card": ("card", "card_key"),
    "wallet": ("wallet",),
    "remote_id": ("remote_id", "object_id", "serial_number"),
    "token": ("token", "authentication_token"),
    "device": ("device", "device_library_identifier"),
    "push_token": ("push_token",),
}
"""What a row says, and the names that its column may have."""
REQUIRED = ("card", "remote_id")


class ImportSourceError(LoyaltyWalletError, ValueError):
    """Passes to take over cannot be read, or a name in the order makes no sense."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassRow:
    """One pass that another system has handed out, on one device or on none that is known.

    `place` says where it was found; `problem` why it cannot be read, if so.
    """

    place: str
    card: str = ""
    """What tells the card: see `matching`."""
    wallet: str = ""
    remote_id: str = ""
    token: str = field(default="", repr=False)
    device: str = ""
    push_token: str = field(default="", repr=False)
    problem: str = ""


def read_csv(lines: Iterable[str], *, wallet: str = "") -> Iterator[PassRow]:
    """Yield the rows of a CSV file whose first line names its columns.

    `wallet` is meant where a row names none. Raises ImportSourceError at once when the columns are
    not to be made sense of, and on the way when the text is not CSV.
    """
    reader = csv.reader(lines, strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
    except csv.Error as error:
        raise ImportSourceError(f"Line 1 is not CSV: {error}.") from error
    return _rows(reader, _columns(header), width=len(header), wallet=wallet)


def _columns(header: list[str]) -> dict[str, int]:
    """Return the place of each column that the file has."""
    columns: dict[str, int] = {}
    unknown = []
    for place, name in enumerate(header):
        meaning = next((key for key, names in COLUMNS.items() if name in names), None)
        if meaning is None:
            unknown.append(repr(name))
        elif columns.setdefault(meaning, place) != place:
            raise ImportSourceError(f"Two columns say the same: {', '.join(COLUMNS[meaning])}.")
    known = "; ".join(" or ".join(names) for names in COLUMNS.values())
    if unknown:
        raise ImportSourceError(f"Unknown columns: {', '.join(unknown)}. Known: {known}.")
    if lacking := [name for name in REQUIRED if name not in columns]:
        raise ImportSourceError(
            f"The first line must name the columns {' and '.join(lacking)}. Known: {known}."
        )
    return columns


def _rows(reader: Any, columns: dict[str, int], *, width: int, wallet: str) -> Iterator[PassRow]:
    # A quoted cell may go over several lines: a row is found where it begins.
    line = reader.line_num + 1
    try:
        for cells in reader:
            place, line = f"Line {line}", reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != width:
                problem = f"it has {len(cells)} cells, and the first line {width}"
                yield PassRow(place=place, problem=problem)
                continue
            values = {name: cells[at].strip() for name, at in columns.items()}
            yield PassRow(place=place, **{**values, "wallet": values.get("wallet") or wallet})
    except csv.Error as error:
        raise ImportSourceError(f"Line {line} is not CSV: {error}.") from error
