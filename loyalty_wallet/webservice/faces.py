"""A card as each wallet shows it: read from what the wallet is sent, so that the two cannot differ.

Which fields are on the front, and where, follows the providers' own templates. Fonts, sizes and
the colour where a program has none are each phone's own, and only resembled.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.utils.formats import number_format
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from ..adding import apple_wallet_of, google_wallet_of
from ..cards import Card
from ..colors import WHITE, is_hex, legible_on, parse_hex
from ..exceptions import DeliveryError
from ..redaction import redact
from ..wallets.apple import AppleWallet
from ..wallets.base import Payload, Wallet
from ..wallets.google import GoogleWallet
from ..wallets.words import in_language
from .codes import Code, card_code

logger = logging.getLogger("loyalty_wallet.webservice")

GOOGLE_BACKGROUND, APPLE_BACKGROUND = "#3c4043", "#e9e9ee"
"""Where a program has no colour: Google then takes one from the logo, Apple a light grey."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    label: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """The front of a card. `kind` is google or apple."""

    kind: str
    issuer: str
    title: str
    logo_url: str
    hero_image_url: str
    background: str
    has_light_text: bool
    header: list[Field]
    rows: list[list[Field]]
    code: Code | None

    @property
    def initial(self) -> str:
        """What stands where a program has no logo."""
        return self.issuer.strip()[:1].upper()


def drawn_faces(card: Card) -> dict[str, Face]:
    """Return the card as its wallets show it, by kind; what a wallet would refuse is left out."""
    drawers: dict[str, Callable[[], Face]] = {}
    if google := google_wallet_of(card):
        drawers["google"] = partial(google_face, card, google)
    if apple := apple_wallet_of(card):
        drawers["apple"] = partial(apple_face, card, apple)
    drawn = {}
    for kind, draw in drawers.items():
        try:
            drawn[kind] = draw()
        except DeliveryError as error:
            logger.warning("card=%s cannot be shown: %s", redact(card.key), error.message)
    return drawn


def google_face(card: Card, wallet: GoogleWallet) -> Face:
    """Draw the card as Google Wallet does. Raises InvalidCardError for what it would refuse."""
    sent = _sent(card, wallet)
    counts = [sent["loyaltyPoints"], sent["secondaryLoyaltyPoints"]]
    account = [
        Field(label=_("Member name"), value=sent["accountName"] or ""),
        Field(label=_("Member ID"), value=sent["accountId"] or ""),
    ]
    modules = [
        Field(label=module["header"], value=module["body"])
        for module in sent["textModulesData"]
        if module["id"] == "tier"
    ]
    return _face(
        "google",
        card,
        background=GOOGLE_BACKGROUND,
        header=[],
        rows=[[_google_count(count) for count in counts if count], account, modules],
    )


def apple_face(card: Card, wallet: AppleWallet) -> Face:
    """Draw the card as Apple Wallet does. Raises InvalidCardError for what it could not show."""
    groups = _sent(card, wallet)["pass"]["storeCard"]
    return _face(
        "apple",
        card,
        background=APPLE_BACKGROUND,
        header=_apple_fields(groups["headerFields"]),
        rows=[_apple_fields([*groups["secondaryFields"], *groups["auxiliaryFields"]])],
    )


def _face(
    kind: str, card: Card, *, background: str, header: list[Field], rows: Iterable[list[Field]]
) -> Face:
    program = card.program
    background = program.background_color if is_hex(program.background_color) else background
    filled = ([field for field in row if field.value] for row in rows)
    return Face(
        kind=kind,
        issuer=program.issuer_name,
        title=program.name,
        logo_url=_image_url(program.logo_url),
        hero_image_url=_image_url(program.hero_image_url) if kind == "google" else "",
        background=background,
        has_light_text=legible_on(parse_hex(background)) == WHITE,
        header=header,
        rows=[row for row in filled if row],
        code=card_code(card.barcode) if card.barcode else None,
    )


def _sent(card: Card, wallet: Wallet) -> Payload:
    """Return what the wallet would be sent; the ids are not looked at."""
    program_id = wallet.program_id(card.program.key)
    # What the provider would refuse of the program, it refuses of its cards.
    wallet.render_program(card.program, program_id=program_id)
    return wallet.render(card, remote_id=wallet.remote_id("shown"), program_id=program_id)


def _google_count(count: dict[str, Any]) -> Field:
    [value] = count["balance"].values()
    return Field(label=count["label"], value=str(value))


def _apple_fields(fields: Iterable[dict[str, Any]]) -> list[Field]:
    return [
        Field(label=_in_phones_language(field["label"]), value=_apple_value(field))
        for field in fields
    ]


def _apple_value(field: dict[str, Any]) -> str:
    value = field["value"]
    if "numberStyle" in field:
        return number_format(value, use_l10n=True, force_grouping=True)
    return str(value)


def _in_phones_language(text: str) -> str:
    return in_language(text, get_language() or "")


def _image_url(url: str) -> str:
    """Return the address of an image if a page may show it: browsers block others, or worse."""
    return url if url.startswith("https://") else ""
