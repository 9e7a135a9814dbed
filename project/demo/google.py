"""The demo's Google: what it shows, compared with what the shop has."""

from __future__ import annotations

from typing import Any

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, WalletPass

from .shop import GOOGLE, STAMPS_REQUIRED


def wrong_objects(emulator: GoogleEmulator, cards: list[LoyaltyCard]) -> list[str]:
    """Return the keys of the cards whose object at Google does not show what the database has.

    Compared by hand, not by the app's own rendering, which is on trial here.
    """
    keys = [card.key for card in cards]
    passes = WalletPass.objects.for_cards(keys).filter(wallet=GOOGLE)
    ids = dict(passes.values_list("card_key", "remote_id"))
    objects = emulator.objects
    fresh = LoyaltyCard.objects.in_bulk([card.pk for card in cards])
    return [
        card.key
        for card in fresh.values()
        if not _shows(objects.get(ids.get(card.key, ""), {}), card)
    ]


def _shows(resource: dict[str, Any], card: LoyaltyCard) -> bool:
    points = resource.get("loyaltyPoints", {}).get("balance", {}).get("int")
    stamps = resource.get("secondaryLoyaltyPoints", {}).get("balance", {}).get("string")
    return (
        resource.get("state") == "ACTIVE"
        and resource.get("accountName") == card.holder_name
        and points == card.points_balance
        and stamps == f"{card.stamps}/{STAMPS_REQUIRED}"
    )
