"""Customers' browsers, and what they are answered."""

from __future__ import annotations

from typing import Any

from loyalty_wallet.models import LoyaltyCard

IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15"
ANDROID = "Mozilla/5.0 (Linux; Android 16; Pixel 10) AppleWebKit/537.36 Chrome/142.0.0.0"
DESKTOP = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/142.0.0.0"


def google_url(card: LoyaltyCard) -> str:
    return f"{card.get_card_url()}google/"


def text_of(response: Any) -> str:
    return str(response.content.decode())


def is_closed(response: Any) -> bool:
    """Say whether nothing of the answer is kept, passed on or connected with a visitor."""
    return bool(
        response["Cache-Control"] == "no-store"
        and response["Referrer-Policy"] == "no-referrer"
        and "noindex" in response["X-Robots-Tag"]
        and not response.cookies
        and "Cookie" not in response.get("Vary", "")
    )
