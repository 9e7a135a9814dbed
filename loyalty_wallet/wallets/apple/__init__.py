"""Apple Wallet."""

from __future__ import annotations

from .wallet import AppleWallet

__all__ = ["AppleWallet"]
