"""Fixtures for the tests of projects that use this app: emulated providers, wired into the settings.

pytest_plugins = ["loyalty_wallet.testing"]

Needs pytest-django and the extra `testing`. Nothing leaves the machine: each wallet of the settings
talks to an emulator, and one is added where there is none.
"""

from __future__ import annotations

from .fixtures import wallet_apns, wallet_authority, wallet_google, wallet_phone, wallet_phones
from .phone import WalletPhone

__all__ = [
    "WalletPhone",
    "wallet_apns",
    "wallet_authority",
    "wallet_google",
    "wallet_phone",
    "wallet_phones",
]
