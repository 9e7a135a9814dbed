"""`{% load loyalty_wallet %}`: the buttons with which a customer adds a card."""

from __future__ import annotations

from typing import Any

from django import template
from django.template import Context

from ..adding import find_card, key_of, sign_link
from ..exceptions import AddToWalletError
from ..webservice.buttons import buttons_for
from ..webservice.phones import Phone, phone_of

register = template.Library()


@register.inclusion_tag("loyalty_wallet/wallet_buttons.html", takes_context=True)
def wallet_buttons(context: Context, card: Any, base_url: str = "") -> dict[str, Any]:
    """Show a button for each wallet that the card can be added to; none for a card that has none.

    `card` is a row of the card source, or a card's key. Give `base_url`, such as
    `https://shop.example`, in an e-mail.
    """
    request = context.get("request")
    phone = phone_of(request) if request is not None else Phone.NONE
    card_key = key_of(card)
    try:
        found = find_card(card_key)
    except AddToWalletError:
        return {"buttons": []}
    return {"buttons": buttons_for(found, sign_link(card_key), phone, base_url=base_url)}
