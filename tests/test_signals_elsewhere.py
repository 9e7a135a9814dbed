"""What waits for Ctrl-C ends also when the kernel hands the signal to another thread."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.emulator.google.foreground import serve
from project.demo.ending import Ending

BLOCKED_SECONDS = 0.3
"""How long the main thread has been asleep when the signal comes."""

pytestmark = pytest.mark.timeout(20, method="signal")


@contextmanager
def interrupted_elsewhere() -> Iterator[None]:
    """Send this process a SIGINT that the main thread does not take."""

    def interrupt() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        time.sleep(BLOCKED_SECONDS)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(BLOCKED_SECONDS)

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        yield
    finally:
        thread.join()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def test_the_demo_ends() -> None:
    """With --serve it lives until somebody has had enough."""
    ending = Ending()
    with ending.listen(), interrupted_elsewhere():
        ending.wait()
    assert ending.is_asked


def test_the_emulator_ends() -> None:
    """Its command serves until Ctrl-C."""
    emulator = GoogleEmulator()
    with interrupted_elsewhere():
        serve(emulator, lambda: None, ends_with_stdin=False)
    with pytest.raises(URLError, match="refused"):
        urlopen(emulator.url)  # noqa: S310 (the emulator)
