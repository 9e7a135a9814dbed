"""A program and a card with everything on it, for all tests of wallets."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from loyalty_wallet.cards import Barcode, Card, Program, ProgramKind

PROGRAM = Program(
    key="coffee",
    name="Coffee Club",
    issuer_name="Corner Shop",
    kind=ProgramKind.HYBRID,
    logo_url="https://shop.example/logo.png",
    hero_image_url="https://shop.example/hero.png",
    background_color="#123456",
    points_label="Beans",
    stamps_required=10,
    reward="A free cup",
)
CARD = Card(
    key="1",
    program=PROGRAM,
    card_number="C-1",
    holder_name="Ada Example",
    points_balance=120,
    stamps=3,
    tier="Gold",
    barcode=Barcode(value="C-1", text="C-1"),
    expires_at=datetime(2030, 12, 31, 23, 59, tzinfo=UTC),
)
BARE_PROGRAM = Program(key="bare", name="Bare", issuer_name="Corner Shop", stamps_required=0)
BARE_CARD = Card(key="2", program=BARE_PROGRAM, card_number="")


def card(program: dict[str, Any] | None = None, **changes: Any) -> Card:
    """Return the full card with changes to it and to its program."""
    return replace(CARD, program=replace(PROGRAM, **(program or {})), **changes)
