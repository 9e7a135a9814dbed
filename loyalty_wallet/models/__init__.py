"""The tables: what a shop has (cards), what phones have (passes), what the sync did (runs)."""

from __future__ import annotations

from .cards import LoyaltyCard, LoyaltyProgram, LoyaltyTransaction
from .passes import DatabaseNow, WalletPass, WalletProgram
from .runs import SyncBatch, SyncFailure, SyncRun, SyncState, WalletLimit

__all__ = [
    "DatabaseNow",
    "LoyaltyCard",
    "LoyaltyProgram",
    "LoyaltyTransaction",
    "SyncBatch",
    "SyncFailure",
    "SyncRun",
    "SyncState",
    "WalletLimit",
    "WalletPass",
    "WalletProgram",
]
