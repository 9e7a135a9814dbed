"""The tables: what a shop has (cards), what phones have (passes, apple, google), what we did about
it (runs, audits, probes).
"""

from __future__ import annotations

from .apple import (
    AppleDevice,
    AppleDeviceComplaint,
    ApplePassType,
    AppleRegistration,
)
from .audits import WalletAudit
from .cards import LoyaltyCard, LoyaltyProgram, LoyaltyTransaction
from .google import GoogleCallback
from .notices import WalletMessage, WalletNotification
from .passes import DatabaseNow, ErasedCard, WalletPass, WalletProgram
from .probes import WalletProbe
from .runs import SyncAlert, SyncBatch, SyncFailure, SyncRun, SyncState, WalletLimit

__all__ = [
    "AppleDevice",
    "AppleDeviceComplaint",
    "ApplePassType",
    "AppleRegistration",
    "DatabaseNow",
    "ErasedCard",
    "GoogleCallback",
    "LoyaltyCard",
    "LoyaltyProgram",
    "LoyaltyTransaction",
    "SyncAlert",
    "SyncBatch",
    "SyncFailure",
    "SyncRun",
    "SyncState",
    "WalletAudit",
    "WalletLimit",
    "WalletMessage",
    "WalletNotification",
    "WalletPass",
    "WalletProbe",
    "WalletProgram",
]
