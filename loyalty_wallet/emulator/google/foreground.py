"""An emulator that serves until someone ends it: the part that both commands share."""

from __future__ import annotations

import argparse
import gc
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType

from .emulator import DEFAULT_ISSUER_ID, GoogleEmulator

OWNER_ONLY = 0o600
LOOK_SECONDS = 0.5
GC_THRESHOLDS = (100_000, 50, 50)


def add_arguments(parser: argparse.ArgumentParser, *, port: int, credentials: str) -> None:
    """Declare the options that say how the emulator serves."""
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address (%(default)s)")
    parser.add_argument("--port", type=int, default=port, help="0 picks a free one (%(default)s)")
    parser.add_argument("--issuer-id", default=DEFAULT_ISSUER_ID, help="(%(default)s)")
    parser.add_argument(
        "--requests-per-second",
        type=float,
        default=20,
        metavar="N",
        help="Google's quota; 0 lifts it (%(default)s)",
    )
    parser.add_argument(
        "--latency",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="how long every answer is held up (%(default)s)",
    )
    parser.add_argument(
        "--credentials",
        type=Path,
        default=Path(credentials),
        metavar="FILE",
        help="where to write the service-account JSON (%(default)s)",
    )


def write_credentials(emulator: GoogleEmulator, path: Path) -> Path:
    """Write the service-account JSON so that only its owner can read it; return where it is."""
    path.touch(mode=OWNER_ONLY)
    path.chmod(OWNER_ONLY)
    path.write_text(json.dumps(emulator.service_account, indent=2) + "\n", encoding="utf-8")
    return path.resolve()


def serve(emulator: GoogleEmulator, announce: Callable[[], None], *, ends_with_stdin: bool) -> None:
    """Serve until Ctrl-C, SIGTERM or, if asked, the end of standard input."""
    # Unlike an Event, a SimpleQueue may be used by a signal handler that interrupts its own reader.
    ended: SimpleQueue[None] = SimpleQueue()
    # The log grows without garbage: at Python's usual thresholds a quarter of the time of a
    # busy emulator goes into looking through it.
    gc.set_threshold(*GC_THRESHOLDS)
    with _ended_by_signals(ended), emulator:
        announce()
        if ends_with_stdin:
            # A parent that was killed cannot end its emulator; its end of the pipe closes anyway.
            threading.Thread(target=_wait_for_end_of_stdin, args=(ended,), daemon=True).start()
        _wait_for(ended)


def _wait_for(ended: SimpleQueue[None]) -> None:
    # Not without a limit: a signal that the kernel hands to another thread wakes nobody here.
    while True:
        with suppress(Empty):
            return ended.get(timeout=LOOK_SECONDS)


@contextmanager
def _ended_by_signals(ended: SimpleQueue[None]) -> Iterator[None]:
    def end(signum: int, frame: FrameType | None) -> None:
        ended.put(None)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait_for_end_of_stdin(ended: SimpleQueue[None]) -> None:
    # sys.stdin has a lock that the interpreter, when it ends, would wait for.
    while os.read(sys.stdin.fileno(), 1024):
        pass
    ended.put(None)
