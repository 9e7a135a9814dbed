"""A polite kill ends a command in order, as Ctrl-C does."""

from __future__ import annotations

import signal
import threading


def stop_like_ctrl_c(signal_number: signal.Signals) -> None:
    """Let a polite kill finish and record what was begun."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal_number, signal.default_int_handler)
