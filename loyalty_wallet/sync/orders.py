"""What a caller asks of a run, and what it hears of it meanwhile."""

from __future__ import annotations

import threading
from dataclasses import dataclass

STOPPING = "Stopping: what was begun is finished and recorded; once more stops at once."


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run has come, for whoever watches it."""

    done: int
    failed: int
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """How a run goes about its work; see `sync_wallet_passes`."""

    force: bool = False
    audits: bool = False
    notify: bool = False
    limit: int | None = None
    max_attempts: int | None = None
    max_seconds: float | None = None
    goes_first: bool = False
    """In real time: its requests are booked before those of runs."""
    stop_on: type[BaseException] = KeyboardInterrupt
    """Besides Ctrl-C: the first one ends the run in order, a second one at once."""
    stop: threading.Event | None = None
    """Once it is set, the run ends in order."""

    @property
    def is_told_to_stop(self) -> bool:
        return self.stop is not None and self.stop.is_set()
