"""The tables: what a shop has (cards), what phones have (passes, apple), what the sync did (runs)."""

from __future__ import annotations

from .apple import (
    AppleDevice,
    AppleDeviceComplaint,
    ApplePassType,
    AppleRegistration,
)
from .cards import LoyaltyCard, LoyaltyProgram, LoyaltyTransaction
from .passes import DatabaseNow, WalletPass, WalletProgram
from .runs import SyncAlert, SyncBatch, SyncFailure, SyncRun, SyncState, WalletLimit

__all__ = [
    "AppleDevice",
    "AppleDeviceComplaint",
    "ApplePassType",
    "AppleRegistration",
    "DatabaseNow",
    "LoyaltyCard",
    "LoyaltyProgram",
    "LoyaltyTransaction",
    "SyncAlert",
    "SyncBatch",
    "SyncFailure",
    "SyncRun",
    "SyncState",
    "WalletLimit",
    "WalletPass",
    "WalletProgram",
]
