"""Links that open one card to whoever holds them, until they expire.

A card's key may be a number that invites to count on, or an e-mail address: a link says neither.
The key is encrypted and authenticated (Fernet: AES and HMAC-SHA256, with the time of issue), under
Django's SECRET_KEY. Links made under a key in SECRET_KEY_FALLBACKS still open.
"""

from __future__ import annotations

import base64
import time
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.crypto import salted_hmac

from ..conf import get_conf
from ..exceptions import LinkError
from .offers import key_of

_SALT = "loyalty_wallet.card_link"
_QUARTER = 4


def card_page_url(card: Any, request: HttpRequest | None = None) -> str:
    """Return the address of the page on which the customer adds the card to a phone.

    `card` is a row of the card source, or a card's key. Without a request: the path alone.
    """
    return _url("card_page", card, request)


def pass_url(card: Any, request: HttpRequest | None = None) -> str:
    """Return the address of the card's `.pkpass` for Apple Wallet; as `card_page_url`."""
    return _url("card_pass", card, request)


def sign_link(card_key: str) -> str:
    """Return the part of a link that stands for the card from now until `LINK_MAX_AGE` is over."""
    return _fernet().encrypt(card_key.encode()).decode().rstrip("=")


def read_link(signed: str) -> str:
    """Return the key of the card that a link stands for. Raises LinkError."""
    token = signed + "=" * (-len(signed) % _QUARTER)
    fernet = _fernet()
    try:
        key = fernet.decrypt(token).decode()
        issued_at = fernet.extract_timestamp(token)
    except (InvalidToken, ValueError) as error:
        raise LinkError("The link is none of ours.") from error
    if time.time() - issued_at > get_conf().link_max_age.total_seconds():
        raise LinkError("The link has expired.", is_expired=True)
    return key


def _url(name: str, card: Any, request: HttpRequest | None) -> str:
    path = reverse(f"loyalty_wallet:{name}", args=[sign_link(key_of(card))])
    return path if request is None else request.build_absolute_uri(path)


def _fernet() -> MultiFernet:
    secrets = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    keys = [salted_hmac(_SALT, "", secret, algorithm="sha256").digest() for secret in secrets]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in keys])
