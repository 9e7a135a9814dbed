"""The `.pkpass` of a pass as it is on record. Signed when it is asked for, never stored."""

from __future__ import annotations

from collections.abc import Iterable

from ..exceptions import MisconfiguredError
from ..models import WalletPass
from ..registry import get_wallets
from ..wallets.apple import AppleWallet
from ..wallets.apple.pkpass import bundle


def read_version(wallet_pass: WalletPass) -> WalletPass:
    """Read what makes a version anew, all at once, and return the pass.

    Otherwise the payload of one version could go out under the second of another. Raises
    WalletPass.DoesNotExist when the pass has been deleted meanwhile.
    """
    wallet_pass.refresh_from_db(fields=["payload", "program_key", "change_tag", "modified_at"])
    return wallet_pass


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


def bundle_of(passes: Iterable[WalletPass]) -> bytes:
    """Return several passes as one `.pkpasses` file, which Safari adds with one tap.

    To be served as `application/vnd.apple.pkpasses`. Raises ValueError for none, or more than the
    ten that Apple takes; otherwise as `archive_of`.
    """
    return bundle([archive_of(wallet_pass) for wallet_pass in passes])
