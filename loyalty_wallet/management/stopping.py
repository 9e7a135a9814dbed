"""Ctrl-C and SIGTERM while a command works.

The first one asks for an end and raises nothing; the second one makes it. An exception may
come up anywhere, and SQLite, for one, makes a database error of it when one of its functions happens
to be at work.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """How often somebody asked for the end, and a flag to tell a run of it."""

    def __init__(self) -> None:
        self.count = 0
        self.stop = threading.Event()

    @property
    def is_urgent(self) -> bool:
        return self.count > 1

    def take(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal. Raises KeyboardInterrupt from the second one on."""
        self.count += 1
        self.stop.set()
        if self.is_urgent:
            raise KeyboardInterrupt


@contextmanager
def listening() -> Iterator[Interrupts]:
    """Take Ctrl-C and SIGTERM meanwhile; elsewhere than in the main thread there are none to take."""
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, interrupts.take) for number in numbers}
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
