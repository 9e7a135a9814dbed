"""Ctrl-C, taken note of at the places where stopping leaves nothing half done."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130
PATIENCE_SECONDS = 2
LOOK_SECONDS = 0.2


class Ending:
    """Whether somebody asked for the end, with Ctrl-C or SIGTERM."""

    def __init__(self) -> None:
        self._is_asked = False

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

    @property
    def is_asked(self) -> bool:
        return self._is_asked

    def check(self) -> None:
        """Leave the program if the end was asked for."""
        if self._is_asked:
            raise SystemExit(INTERRUPTED)

    def wait(self) -> None:
        """Sleep until the end is asked for."""
        # Not without a limit: a signal that the kernel hands to another thread wakes nobody here.
        while not self._is_asked:
            time.sleep(LOOK_SECONDS)

    def _ask(self, signum: int, frame: FrameType | None) -> None:
        if self._is_asked:
            raise SystemExit(INTERRUPTED)
        self._is_asked = True


class Brake:
    """Ends one sync, called with its progress: first politely, soon without mercy.

    KeyboardInterrupt lets it finish what was begun. That may include a wait of 16 s before the
    next attempt, so SystemExit follows; then the run goes on record as interrupted.
    """

    def __init__(self, is_asked: Callable[[], bool]) -> None:
        self._is_asked = is_asked
        self._pulled_at: float | None = None

    def __call__(self, *_: object) -> None:
        if not self._is_asked():
            return
        if self._pulled_at is None:
            self._pulled_at = time.monotonic()
            raise KeyboardInterrupt
        if time.monotonic() - self._pulled_at > PATIENCE_SECONDS:
            raise SystemExit(INTERRUPTED)
