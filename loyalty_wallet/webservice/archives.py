"""The `.pkpass` of a pass as it is on record. Signed when it is asked for, never stored."""

from __future__ import annotations

from ..exceptions import MisconfiguredError
from ..models import WalletPass
from ..registry import get_wallets
from ..wallets.apple import AppleWallet


def archive_of(wallet_pass: WalletPass) -> bytes:
    """Return the signed archive of the pass's present version.

    Raises MisconfiguredError when its wallet is not there or its certificate cannot sign.
    """
    wallet = get_wallets().get(wallet_pass.wallet)
    if not isinstance(wallet, AppleWallet):
        raise MisconfiguredError(f"No Apple wallet {wallet_pass.wallet!r} is configured.")
    if not wallet_pass.payload:
        raise MisconfiguredError("The pass has no version yet: sync it first.")
    return wallet.archive(
        wallet_pass.payload,
        authentication_token=wallet_pass.authentication_token,
        program_key=wallet_pass.program_key,
    )
