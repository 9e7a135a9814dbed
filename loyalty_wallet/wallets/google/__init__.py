"""Google Wallet: loyalty classes and objects over Google's REST API."""

from __future__ import annotations

from .wallet import GoogleWallet

__all__ = ["GoogleWallet"]
