"""The customer's iPhone in a test."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from ..adding import pass_url
from ..adding.offers import key_of
from ..emulator.apple import Authority, PassOnPhone, Phone
from ..models import WalletPass

TIMEOUT_SECONDS = 10


class WalletPhone(Phone):
    """An iPhone that adds cards through the project's own URLs, at `url`."""

    def __init__(self, authority: Authority, *, url: str) -> None:
        super().__init__(authority)
        self._url = url

    def add_card(self, card: Any) -> PassOnPhone:
        """Let the customer download a card's pass and add it; return it as the phone shows it.

        `card` is a row of the card source, or a card's key. Raises AssertionError when it cannot be
        downloaded, InvalidPassError when it does not verify, ValueError when it cannot register.
        """
        address = f"{self._url}{pass_url(card)}"
        answer = self._http.get(address, timeout=TIMEOUT_SECONDS, allow_redirects=False)
        if answer.status_code != HTTPStatus.OK:
            raise AssertionError(f"The card's pass was answered with {answer.status_code}.")
        self.add(answer.content)
        return self.card(card)

    def card(self, card: Any) -> PassOnPhone:
        """Return the pass of a card as the phone shows it. Raises KeyError when it has none."""
        rows = WalletPass.objects.filter(card_key=key_of(card), remote_id__in=self.passes)
        serial_number = rows.values_list("remote_id", flat=True).first()
        if serial_number is None:
            raise KeyError(key_of(card))
        return self.passes[serial_number]
