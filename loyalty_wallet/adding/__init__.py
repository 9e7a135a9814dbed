"""How a card gets onto a phone: links for one customer, and passes that are there when these are used."""

from __future__ import annotations

from .links import card_page_url, pass_url, read_link, sign_link
from .offers import apple_wallet_of, find_card, google_wallet_of, key_of
from .passes import current_version, save_link

__all__ = [
    "apple_wallet_of",
    "card_page_url",
    "current_version",
    "find_card",
    "google_wallet_of",
    "key_of",
    "pass_url",
    "read_link",
    "save_link",
    "sign_link",
]
