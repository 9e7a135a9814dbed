"""What follows from a callback of Google's: each message counts once, and the latest one holds."""

from __future__ import annotations

import hashlib
import re

from django.db.models import Q
from django.utils import timezone

from ..exceptions import DeliveryError, ForgedCallbackError
from ..models import GoogleCallback, WalletPass
from ..registry import get_wallets
from ..sync.transactions import in_transaction
from ..wallets.google import GoogleWallet
from ..wallets.google.callbacks import Callback, Event, claimed_issuer
from ..wallets.google.payloads import MANY_HOLDERS

_PLAIN_NONCE = re.compile(r"[0-9A-Za-z-]{1,64}")


def verified(body: bytes) -> tuple[list[GoogleWallet], Callback]:
    """Return what Google signed for one of our issuers, and the wallets of that issuer.

    Raises ForgedCallbackError, and NetworkError or UnavailableError without Google's keys.
    """
    issuer_id = claimed_issuer(body)
    wallets = [
        wallet
        for wallet in get_wallets().values()
        if isinstance(wallet, GoogleWallet) and wallet.issuer_id == issuer_id
    ]
    error: ForgedCallbackError | DeliveryError
    error = ForgedCallbackError("It is about a card of none of our issuers.")
    # Two wallets of one issuer have the same keys, unless one of them is played by an emulator.
    for wallet in {wallet.callback_keys.url: wallet for wallet in reversed(wallets)}.values():
        try:
            return wallets, wallet.verify_callback(body)
        except (ForgedCallbackError, DeliveryError) as refusal:
            error = refusal
    raise error


def record(received: tuple[list[GoogleWallet], Callback]) -> None:
    """Note what a customer did, unless it has been noted already.

    Google promises no order and sends no time, but of two messages about a card the one that
    expires later was signed later. One that is older than what is known changes nothing. The
    older ones that are no longer kept have expired, and are refused before they come here.
    """
    wallets, callback = received
    aliases = [wallet.alias for wallet in wallets]

    def write() -> None:
        # Locked first: the row of the nonce refers to it, and two callbacks may come at once.
        passes = WalletPass.objects.select_for_update().filter(
            wallet__in=aliases, remote_id=callback.object_id
        )
        wallet_pass = passes.only("pk", "wallet", "presence").first()
        alias = aliases[0] if wallet_pass is None else wallet_pass.wallet
        row, is_new = GoogleCallback.objects.get_or_create(
            nonce=_kept(callback.nonce),
            defaults={
                "event": callback.event.value,
                "wallet": alias,
                "wallet_pass": wallet_pass,
                "expires_at": callback.expires_at,
            },
        )
        if is_new and wallet_pass is not None and not _is_outdated(row):
            holders = next(wallet.holders for wallet in wallets if wallet.alias == alias)
            _set_presence(wallet_pass, callback.event, has_many=holders == MANY_HOLDERS)

    in_transaction(write)


def _is_outdated(row: GoogleCallback) -> bool:
    others = GoogleCallback.objects.filter(wallet_pass=row.wallet_pass_id).exclude(pk=row.pk)
    later = Q(expires_at__gt=row.expires_at)
    if row.event == Event.SAVE:
        later |= Q(expires_at=row.expires_at, event=Event.DELETE.value)
    return others.filter(later).exists()


def _set_presence(wallet_pass: WalletPass, event: Event, *, has_many: bool) -> None:
    presence = WalletPass.Presence.IN_WALLET
    if event is Event.DELETE:
        # Of several holders only one has left: what Google next says of the card tells.
        presence = WalletPass.Presence.UNKNOWN if has_many else WalletPass.Presence.REMOVED
    WalletPass.objects.filter(pk=wallet_pass.pk).update(
        presence=presence,
        presence_source=WalletPass.PresenceSource.CALLBACK,
        presence_at=timezone.now(),
    )


def _kept(nonce: str) -> str:
    """Return the nonce as the table keeps it: Google sends a UUID, but promises nothing."""
    if _PLAIN_NONCE.fullmatch(nonce):
        return nonce
    return hashlib.sha256(nonce.encode("utf-8", "surrogatepass")).hexdigest()
