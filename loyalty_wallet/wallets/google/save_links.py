"""Links with which a customer saves a card to Google Wallet: a signed token in a URL.

The token names the card only ("skinny"): the object is inserted over the API first, since a token
that carries a whole card outgrows what browsers keep, and changes nothing once the card exists.
Source: Google Wallet API, "Working with JSON Web Tokens".
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from google.auth import jwt

from ...exceptions import InvalidCardError
from .credentials import ServiceAccount

SAVE_URL = "https://pay.google.com/gp/v/save/"
LONGEST_TOKEN = 1800
"""Characters; Google warns that browsers may cut longer links."""


def save_link(
    account: ServiceAccount,
    *,
    object_id: str,
    class_id: str,
    origins: Sequence[str] = (),
    save_url: str = SAVE_URL,
) -> str:
    """Return the link that saves an object which exists at Google.

    `origins` are the sites that embed Google's own button; leave them out of links in e-mails,
    which they break. The key is parsed once and signs without any network.

    Raises MisconfiguredError for an unusable key, InvalidCardError when the link would be longer
    than browsers keep.
    """
    credentials = account.load()
    claims = {
        "iss": credentials.service_account_email,
        "aud": "google",
        "typ": "savetowallet",
        "iat": int(time.time()),
        "payload": {"loyaltyObjects": [{"id": object_id, "classId": class_id}]},
    }
    if origins:
        claims["origins"] = list(origins)
    token: str = jwt.encode(credentials.signer, claims).decode()
    if len(token) > LONGEST_TOKEN:
        raise InvalidCardError(
            f"The link to save the card has {len(token)} characters; {LONGEST_TOKEN} are safe."
        )
    return f"{save_url}{token}"
