"""Ctrl-C, taken note of at the places where stopping leaves nothing half done."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from types import FrameType

INTERRUPTED = 130


class Ending:
    """Whether somebody asked for the end, with Ctrl-C or SIGTERM."""

    def __init__(self) -> None:
        self._is_asked = False
        # Unlike an Event, it may be used by a signal handler that interrupts its own reader.
        self._requests: SimpleQueue[None] = SimpleQueue()

    @contextmanager
    def listen(self) -> Iterator[None]:
        """Take note of the signals inside; only in the main thread."""
        before = {
            number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def check(self) -> None:
        """Leave the program if the end was asked for.

        SystemExit passes through a sync, which then puts its run on record as interrupted.
        """
        if self._is_asked:
            raise SystemExit(INTERRUPTED)

    def wait(self) -> None:
        """Sleep until the end is asked for."""
        self._requests.get()

    def _ask(self, signum: int, frame: FrameType | None) -> None:
        if self._is_asked:
            raise SystemExit(INTERRUPTED)
        self._is_asked = True
        self._requests.put(None)
