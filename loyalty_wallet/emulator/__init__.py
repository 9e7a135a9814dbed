"""Doubles of the wallet providers that run here, over real sockets, with faults to order.

For tests, demos and benchmarks. Nothing in the app itself imports this package.
"""

from __future__ import annotations

from .google.emulator import GoogleEmulator
from .google.faults import Fault
from .google.log import LoggedRequest
from .google.process import GoogleEmulatorProcess
from .google.remote import RemoteGoogleEmulator

__all__ = [
    "Fault",
    "GoogleEmulator",
    "GoogleEmulatorProcess",
    "LoggedRequest",
    "RemoteGoogleEmulator",
]
