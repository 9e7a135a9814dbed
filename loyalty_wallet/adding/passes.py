"""Has a pass ready when its customer asks for it: made if it must be, and delivered first."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from ..cards import Card
from ..exceptions import AddToWalletError, DeliveryError, failure_classes
from ..models import WalletPass, WalletProgram
from ..sync import SyncReport, issue, sync_card_to_wallets
from ..wallets.base import Wallet
from .offers import apple_wallet_of, find_card, google_wallet_of, key_of

ATTEMPTS = 2
"""Somebody waits: one pause of the ladder, not all."""
PATIENCE_SECONDS = 8
"""How long to wait for another worker that is delivering the pass at this moment."""
LOOK_SECONDS = 0.2


def save_link(card: Any, *, origins: Sequence[str] = ()) -> str:
    """Return the link with which the customer saves the card to Google Wallet.

    `card` is a row of the card source, or a card's key. The card's object is inserted first if
    Google does not have it yet, so this may take a few seconds: call it when the customer asks.
    The link names the card only; it stays right whatever happens to the balance. `origins` are
    the sites that embed Google's own button, such as `https://shop.example`; links in e-mails
    must not have any.

    Raises AddToWalletError when there is no such card, it is not active, its program names no
    Google wallet, Google does not take it now, or the link would be longer than browsers keep;
    SyncInTransactionError within a transaction, when the object must be inserted first.
    """
    found = find_card(key_of(card))
    wallet = google_wallet_of(found)
    if wallet is None:
        raise AddToWalletError("The card's program names no Google wallet.", code="no_wallet")
    row = _ready_pass(found, wallet, lambda row: row.synced_at is not None)
    try:
        return wallet.save_link(
            object_id=row.remote_id, class_id=_class_id(found, wallet), origins=origins
        )
    except DeliveryError as error:
        raise _refusal(error.code, error.message) from error


def current_version(card: Any) -> WalletPass:
    """Return the card's Apple pass with its present version on record, for `archive_of`.

    Raises AddToWalletError, as `save_link`.
    """
    found = find_card(key_of(card))
    wallet = apple_wallet_of(found)
    if wallet is None:
        raise AddToWalletError("The card's program names no Apple wallet.", code="no_wallet")
    row = _find_pass(found, wallet)
    if row is not None and row.is_due and row.payload:
        # A push that fails is no reason to hand out nothing: the version is on record before it.
        sync_card_to_wallets(found.key, wallet=wallet.alias, max_attempts=1)
    return _ready_pass(found, wallet, lambda row: bool(row.payload))


def _ready_pass(card: Card, wallet: Wallet, is_ready: Callable[[WalletPass], bool]) -> WalletPass:
    """Return the pass once it is ready, made and delivered if need be."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    row = _find_pass(card, wallet)
    if row is None:
        issue([card.key], [wallet.alias])
    while row is None or not is_ready(row):
        report = sync_card_to_wallets(card.key, wallet=wallet.alias, max_attempts=ATTEMPTS)
        row = _find_pass(card, wallet)
        # It may have been erased since the card was found.
        find_card(card.key)
        if row is not None and is_ready(row):
            break
        if report.failures or report.error or time.monotonic() > give_up_at:
            raise _refusal_of(report)
        # Another worker holds the pass: its delivery is as good as ours.
        time.sleep(LOOK_SECONDS)
    return row


def _find_pass(card: Card, wallet: Wallet) -> WalletPass | None:
    return WalletPass.objects.filter(card_key=card.key, wallet=wallet.alias).first()


def _class_id(card: Card, wallet: Wallet) -> str:
    known = WalletProgram.objects.filter(program_key=card.program.key, wallet=wallet.alias)
    return known.values_list("remote_id", flat=True).first() or wallet.program_id(card.program.key)


def _refusal_of(report: SyncReport) -> AddToWalletError:
    if report.failures:
        failure = report.failures[0]
        return _refusal(failure.code, failure.message)
    return _refusal("deferred", report.error or "Another worker has not delivered the pass yet.")


def _refusal(code: str, message: str) -> AddToWalletError:
    failure = failure_classes()[code]
    is_temporary = failure.is_retryable or failure.stops_wallet
    return AddToWalletError(message, code=code, is_temporary=is_temporary)
