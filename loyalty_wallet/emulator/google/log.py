"""What arrived, in order: the record that tests assert on."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .routes import Kind


@dataclass(slots=True, kw_only=True)
class LoggedRequest:
    """One request; `status` and `answered_at` are filled in when it has been answered.

    `status` stays None when the connection was closed instead. `applied_as` numbers the writes in
    the order in which they took effect; None means that this request changed nothing.
    """

    sequence: int
    method: str
    path: str
    kind: Kind | None
    resource_id: str | None
    query: Mapping[str, str]
    body: Any
    token: str | None = field(repr=False)
    arrived_at: float
    answered_at: float | None = None
    status: int | None = None
    fault: str | None = None
    applied_as: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the entry as the control endpoint sends it."""
        entry = {name: getattr(self, name) for name in self.__slots__}
        return entry | {"query": dict(self.query)}


class RequestLog:
    """All requests so far, and how many were under way at once for one object."""

    def __init__(self, *, keeps_bodies: bool) -> None:
        self._keeps_bodies = keeps_bodies
        self.clear()

    def clear(self) -> None:
        """Forget everything; sequence numbers start again."""
        self.entries: list[LoggedRequest] = []
        self.in_flight: dict[str, int] = {}
        self.max_in_flight_per_object = 0
        self._applied = 0

    def open(self, entry: LoggedRequest) -> None:
        """Take a request down and count it as under way."""
        self.entries.append(entry)
        entry.sequence = len(self.entries)
        if entry.kind == "object" and entry.resource_id:
            under_way = self.in_flight.get(entry.resource_id, 0) + 1
            self.in_flight[entry.resource_id] = under_way
            self.max_in_flight_per_object = max(self.max_in_flight_per_object, under_way)

    def close(self, entry: LoggedRequest, status: int | None) -> None:
        """Note how a request ended."""
        entry.status = status
        entry.answered_at = time.monotonic()
        if not self._keeps_bodies:
            entry.body = None
        if entry.kind == "object" and entry.resource_id:
            under_way = self.in_flight.get(entry.resource_id, 0) - 1
            if under_way > 0:
                self.in_flight[entry.resource_id] = under_way
            else:
                self.in_flight.pop(entry.resource_id, None)

    def mark_applied(self, entry: LoggedRequest) -> None:
        """Give a write its place in the order in which writes took effect."""
        self._applied += 1
        entry.applied_as = self._applied

    def count_by_status(self) -> dict[str, int]:
        """Return how many requests ended with each status; "closed" has those without one."""
        counts = Counter(entry.status for entry in self.entries if entry.answered_at is not None)
        return {str(status or "closed"): count for status, count in counts.items()}
