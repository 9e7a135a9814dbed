"""Loyalty cards in Google Wallet and Apple Wallet, kept true."""

from __future__ import annotations

__version__ = "0.1.0"
