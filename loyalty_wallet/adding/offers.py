"""Which card is meant, and which wallets it can be added to."""

from __future__ import annotations

import logging
from typing import Any, TypeVar

from django.db import InterfaceError, OperationalError

from ..cards import Card
from ..exceptions import AddToWalletError
from ..registry import get_wallets
from ..sources import get_card_source
from ..sync.erasure import erased_among
from ..sync.pump.rendering import as_of_now
from ..wallets.apple import AppleWallet
from ..wallets.base import Wallet
from ..wallets.google import GoogleWallet

logger = logging.getLogger("loyalty_wallet.adding")

W = TypeVar("W", bound=Wallet)


def key_of(card: Any) -> str:
    """Return the key of a card, given as a row of the card source or as its key.

    Raises TypeError for a row of another table, whose keys may be somebody else's.
    """
    if isinstance(card, str | int) and not isinstance(card, bool):
        return str(card)
    source = get_card_source()
    if isinstance(card, source.model):
        return source.key_for(card)
    raise TypeError(f"A {type(card).__name__} is neither a {source.model.__name__} nor a card key.")


def find_card(card_key: str) -> Card:
    """Return the card. Raises AddToWalletError when there is none, or none that is valid."""
    if erased_among([card_key]):
        raise AddToWalletError("The card was erased from the wallets.", code="erased")
    source = get_card_source()
    try:
        card = next((source.to_card(row) for row in source.rows_for([card_key])), None)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        # The shop's own code; its words are for the log.
        logger.exception("A card could not be read.")
        raise AddToWalletError("The card source failed.", code="invalid_card") from error
    if card is None:
        raise AddToWalletError("There is no such card.", code="unknown_card")
    if not (card.is_active and card.program.is_active):
        raise AddToWalletError("The card is not active.", code="inactive")
    card = as_of_now(card)
    if card.has_expired:
        raise AddToWalletError("The card has expired.", code="expired")
    return card


def google_wallet_of(card: Card) -> GoogleWallet | None:
    """Return the Google wallet that the card may be in."""
    return _wallet_of(card, GoogleWallet)


def apple_wallet_of(card: Card) -> AppleWallet | None:
    """Return the Apple wallet that the card may be in."""
    return _wallet_of(card, AppleWallet)


def _wallet_of(card: Card, kind: type[W]) -> W | None:
    configured = get_wallets()
    found = (configured.get(alias) for alias in card.program.wallets)
    return next((wallet for wallet in found if isinstance(wallet, kind)), None)
