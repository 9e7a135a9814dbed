"""Which "add to wallet" buttons a card gets, and where they lead."""

from __future__ import annotations

from dataclasses import dataclass

from django.urls import reverse

from .. import adding
from ..cards import Card
from .phones import Phone


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """One button. `kind` is google or apple."""

    kind: str
    url: str

    @property
    def template(self) -> str:
        """What draws it: the one place for the provider's own badge."""
        return f"loyalty_wallet/includes/{self.kind}_button.html"


def buttons_for(card: Card, signed: str, phone: Phone, *, base_url: str = "") -> list[Button]:
    """Return a button for each wallet that the card may be in, the one of the phone at hand first.

    `base_url` comes before the paths where a page, such as an e-mail, has no address of its own.
    """
    names = {
        "google": adding.google_wallet_of(card) and "card_google",
        "apple": adding.apple_wallet_of(card) and "card_pass",
    }
    order = ("apple", "google") if phone is Phone.IPHONE else ("google", "apple")
    return [
        Button(
            kind=kind,
            url=f"{base_url.rstrip('/')}{reverse(f'loyalty_wallet:{names[kind]}', args=[signed])}",
        )
        for kind in order
        if names[kind]
    ]
