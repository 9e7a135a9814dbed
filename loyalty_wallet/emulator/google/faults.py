"""Faults to order: which requests they hit, how often, and what then happens."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any, Literal, TypedDict, get_args

from .log import LoggedRequest

Action = Literal[
    "status",  # answered with an error, nothing applied
    "apply_then_status",  # applied, yet answered with an error
    "latency",  # answered late; adds to any other fault
    "hang",  # never answered, nothing applied
    "apply_then_hang",  # applied, never answered
    "close_before",  # connection closed, nothing applied
    "close_after",  # applied, connection closed without an answer
    "reset_body",  # applied; headers and half of the body, then closed
    "truncated",  # applied; well-formed HTTP around half of the JSON
    "drip",  # applied; one byte of the body at a time
    "html",  # a proxy's page with status 200, nothing applied
    "redirect",  # sent elsewhere, nothing applied
]
Endpoint = Literal["token", "keys", "object", "class", "any"]

# What happens without applying the write; every other action applies it first.
ACTIONS_BEFORE = frozenset({"status", "hang", "close_before", "html", "redirect"})
DEFAULT_SECONDS: dict[str, float] = {"latency": 1.0, "drip": 0.5}
DEFAULT_STATUS: dict[str, int] = {
    "status": 503,
    "apply_then_status": 503,
    "html": 200,
    "redirect": 307,
}


class FaultOrder(TypedDict, total=False):
    """The keywords that every fault takes."""

    object_id: str | None
    class_id: str | None
    endpoint: Endpoint | None
    method: str | None
    times: int | None
    probability: float
    status: int | None
    reason: str | None
    domain: str | None
    message: str | None
    retry_after: float | str | None
    seconds: float | None
    location: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One ordered fault.

    Without `endpoint` it hits requests about objects and classes; "any" includes the token
    endpoint and the callbacks' keys. `times` None means for ever. `probability` below 1 makes it hit at random.
    """

    id: int
    action: Action
    object_id: str | None = None
    class_id: str | None = None
    endpoint: Endpoint | None = None
    method: str | None = None
    times: int | None = None
    probability: float = 1.0
    status: int | None = None
    reason: str | None = None
    domain: str | None = None
    message: str | None = None
    retry_after: float | str | None = None
    seconds: float | None = None
    location: str = "http://elsewhere.invalid/"

    def __post_init__(self) -> None:
        if self.action not in get_args(Action):
            raise ValueError(f"Unknown action {self.action!r}: use {', '.join(get_args(Action))}.")
        if self.endpoint is not None and self.endpoint not in get_args(Endpoint):
            raise ValueError(f"Unknown endpoint {self.endpoint!r}.")
        if self.times is not None and self.times < 1:
            raise ValueError("times must be at least 1, or None for ever.")
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError("probability must be between 0 and 1.")
        if self.seconds is None:
            object.__setattr__(self, "seconds", DEFAULT_SECONDS.get(self.action))
        if self.status is None:
            object.__setattr__(self, "status", DEFAULT_STATUS.get(self.action))
        if self.method is not None:
            object.__setattr__(self, "method", self.method.upper())

    def matches(self, request: LoggedRequest) -> bool:
        """Tell whether this fault is about that request."""
        if self.method is not None and request.method != self.method:
            return False
        if self.endpoint is None:
            if request.kind in ("token", "keys"):
                return False
        elif self.endpoint not in ("any", request.kind):
            return False
        if self.object_id is None and self.class_id is None:
            return True
        wanted = {"object": self.object_id, "class": self.class_id}.get(request.kind or "")
        return wanted is not None and wanted == request.resource_id

    def as_json(self) -> dict[str, Any]:
        """Return the fault as the control endpoint sends it."""
        return asdict(self)


class FaultBook:
    """The faults in force; of several that match one request, the first ordered one acts."""

    def __init__(self, *, seed: int | None = None) -> None:
        self._random = random.Random(seed)  # noqa: S311 (chance, not a secret)  # nosec B311
        self._ids = count(1)
        self._general: dict[int, Fault] = {}
        # By object, so that thousands of faults for single cards cost nothing elsewhere.
        self._by_object: dict[str, dict[int, Fault]] = {}
        self._left: dict[int, int] = {}

    def __iter__(self) -> Iterator[Fault]:
        named = [fault for shelf in self._by_object.values() for fault in shelf.values()]
        return iter(sorted([*self._general.values(), *named], key=lambda fault: fault.id))

    def order(self, action: Action, order: FaultOrder) -> Fault:
        """Put a fault in force; raises ValueError for one that makes no sense."""
        fault = Fault(id=next(self._ids), action=action, **order)
        self._shelf(fault)[fault.id] = fault
        if fault.times is not None:
            self._left[fault.id] = fault.times
        return fault

    def heal(self, fault_id: int | None = None) -> None:
        """Take one fault, or all, out of force."""
        for fault in list(self):
            if fault_id in (None, fault.id):
                self._remove(fault)

    def draw(self, request: LoggedRequest) -> tuple[Fault | None, float]:
        """Return what goes wrong with this request, and for how long it is held up."""
        if not self._general and not self._by_object:
            return None, 0.0
        delay = 0.0
        for fault in self._candidates(request):
            if not fault.matches(request) or not self._strikes(fault):
                continue
            if fault.action != "latency":
                return fault, delay
            delay += fault.seconds or 0.0
        return None, delay

    def _candidates(self, request: LoggedRequest) -> list[Fault]:
        named = self._by_object.get(request.resource_id or "")
        if not named:
            return list(self._general.values())
        return sorted([*self._general.values(), *named.values()], key=lambda fault: fault.id)

    def _strikes(self, fault: Fault) -> bool:
        if fault.probability < 1.0 and self._random.random() >= fault.probability:
            return False
        if fault.times is not None:
            self._left[fault.id] -= 1
            if not self._left[fault.id]:
                self._remove(fault)
        return True

    def _shelf(self, fault: Fault) -> dict[int, Fault]:
        if fault.object_id is None or fault.class_id is not None:
            return self._general
        return self._by_object.setdefault(fault.object_id, {})

    def _remove(self, fault: Fault) -> None:
        self._left.pop(fault.id, None)
        shelf = self._shelf(fault)
        shelf.pop(fault.id, None)
        if not shelf and fault.object_id is not None:
            self._by_object.pop(fault.object_id, None)
