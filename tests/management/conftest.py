from __future__ import annotations

from tests.phonefront import apns, authority, configure_apple
from tests.shopfront import configure, google, make_cards, program, right_cards

__all__ = [
    "apns",
    "authority",
    "configure",
    "configure_apple",
    "google",
    "make_cards",
    "program",
    "right_cards",
]
