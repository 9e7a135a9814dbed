"""An emulator that stops leaves nothing open, whoever is at its door."""

from __future__ import annotations

import gc
import socket
import threading
import time
import warnings
from urllib.parse import urlsplit

from loyalty_wallet.emulator import GoogleEmulator

ROUNDS = 10
CALLERS = 3
OPEN_SECONDS = 0.005


def call_until_refused(host: str, port: int, calls: list[socket.socket]) -> None:
    while True:
        try:
            calls.append(socket.create_connection((host, port), timeout=1))
        except OSError:
            return


def test_who_connects_at_the_last_moment_is_closed() -> None:
    """The loop lets some in while the server ends; their sockets are not forgotten."""
    calls: list[socket.socket] = []
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always", ResourceWarning)
        for _ in range(ROUNDS):
            with GoogleEmulator(requests_per_second=None) as emulator:
                address = urlsplit(emulator.url)
                assert address.hostname
                assert address.port
                target = (address.hostname, address.port, calls)
                callers = [
                    threading.Thread(target=call_until_refused, args=target) for _ in range(CALLERS)
                ]
                for caller in callers:
                    caller.start()
                time.sleep(OPEN_SECONDS)
            for caller in callers:
                caller.join()
        gc.collect()
    for call in calls:
        call.close()
    assert calls
    assert [str(complaint.message) for complaint in complaints] == []
