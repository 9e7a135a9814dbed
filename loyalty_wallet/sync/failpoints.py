"""Named places at which a test may stop or kill this process; nothing happens otherwise.

`LOYALTY_WALLET_FAILPOINT=name:folder` makes the process that reaches `name` write a file of that
name into the folder, with its process id, and wait there until the file is gone.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

VARIABLE = "LOYALTY_WALLET_FAILPOINT"
NAMES = (
    "before_claim",
    "after_claim",
    "after_http",
    "during_commit",
    "closing_run",
)
POLL_SECONDS = 0.02


def failpoint(name: str) -> None:
    """Wait here if a test has asked for it."""
    if (order := os.environ.get(VARIABLE)) is not None:
        _wait_at(name, order)


def _wait_at(name: str, order: str) -> None:
    wanted, _, folder = order.partition(":")
    marker = Path(folder) / name
    if wanted != name or (Path(folder) / f"{name}.done").exists():
        return
    marker.write_text(str(os.getpid()))
    while marker.exists():
        time.sleep(POLL_SECONDS)
    (Path(folder) / f"{name}.done").touch()
