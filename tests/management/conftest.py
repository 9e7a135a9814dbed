from __future__ import annotations

from tests.shopfront import configure, google, make_cards, program, right_cards

__all__ = ["configure", "google", "make_cards", "program", "right_cards"]
