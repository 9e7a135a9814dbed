"""The vocabulary: what a loyalty card is, as frozen values.

Everything that crosses a boundary of the package speaks these. No Django here: a wallet, a test
or a script can use them without a configured project.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ProgramKind(StrEnum):
    """What a program counts."""

    POINTS = "points"
    STAMPS = "stamps"
    HYBRID = "hybrid"

    @property
    def has_points(self) -> bool:
        return self is not ProgramKind.STAMPS

    @property
    def has_stamps(self) -> bool:
        return self is not ProgramKind.POINTS


class BarcodeFormat(StrEnum):
    """The symbologies that both providers can draw."""

    QR_CODE = "qr_code"
    PDF_417 = "pdf_417"
    AZTEC = "aztec"
    CODE_128 = "code_128"


@dataclass(frozen=True, slots=True, kw_only=True)
class Barcode:
    """What the till scans: `value` is encoded, `text` is printed below it."""

    value: str
    format: BarcodeFormat = BarcodeFormat.QR_CODE
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A loyalty program as its cards show it.

    `key` is stable for life and at most 191 characters. `wallets` names the aliases of the
    configured wallets that its cards may be in; an alias that is not configured counts as off.
    """

    key: str
    name: str
    issuer_name: str
    kind: ProgramKind = ProgramKind.POINTS
    logo_url: str = ""
    hero_image_url: str = ""
    background_color: str = ""
    points_label: str = "Points"
    stamps_required: int = 0
    reward: str = ""
    wallets: tuple[str, ...] = ("google", "apple")
    auto_issue: bool = True
    notifies: bool = False
    """Customers may be notified when a balance rises in real time."""
    is_active: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One customer's card as it should look on the phone now.

    `key` is stable for life and at most 191 characters. `expires_at` must be aware of its zone.
    `has_expired` is filled in when the card is rendered.
    """

    key: str
    program: Program
    card_number: str
    holder_name: str = ""
    points_balance: int = 0
    stamps: int = 0
    tier: str = ""
    barcode: Barcode | None = None
    expires_at: datetime | None = None
    is_active: bool = True
    has_expired: bool = False

    @property
    def label(self) -> str:
        """How a person recognises the card in a list."""
        return f"{self.card_number} {self.holder_name}".strip()
