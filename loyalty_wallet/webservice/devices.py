"""Who is asking: a pass's own secret opens that pass, and no other."""

from __future__ import annotations

import re
import secrets

from django.http import HttpRequest
from django.utils.crypto import constant_time_compare

from ..models import WalletPass
from ..registry import get_wallets
from ..wallets.apple import AppleWallet

_SCHEME = "ApplePass "
_FIELDS = (
    "wallet",
    "remote_id",
    "authentication_token",
    "change_tag",
    "modified_at",
    "presence",
    "state",
)
_IDENTIFIER = re.compile(r"[A-Za-z0-9._~-]{1,100}")
_NOBODYS_TOKEN = secrets.token_urlsafe(32)


def is_identifier(text: str) -> bool:
    """Say whether a device, a pass type or a serial number could be called so."""
    return _IDENTIFIER.fullmatch(text) is not None


def apple_wallets(pass_type: str) -> dict[str, AppleWallet]:
    """Return the wallets of a pass type, by alias."""
    return {
        alias: wallet
        for alias, wallet in get_wallets().items()
        if isinstance(wallet, AppleWallet) and wallet.pass_type_identifier == pass_type
    }


def find_pass(request: HttpRequest, pass_type: str, serial_number: str) -> WalletPass | None:
    """Return the pass whose authentication token the request carries, its payload not read yet.

    Takes the same time and the same steps for a pass that does not exist.
    """
    wallet_pass = None
    if is_identifier(serial_number):
        passes = WalletPass.objects.filter(
            wallet__in=apple_wallets(pass_type), remote_id=serial_number
        )
        wallet_pass = passes.only(*_FIELDS).first()
    token = (wallet_pass and wallet_pass.authentication_token) or _NOBODYS_TOKEN
    header = request.headers.get("Authorization", "")
    is_right = constant_time_compare(header, f"{_SCHEME}{token}")
    return wallet_pass if is_right else None
