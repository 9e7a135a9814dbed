"""Card sources whose cards have other codes than QR codes."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from loyalty_wallet.cards import Barcode, BarcodeFormat, Card
from loyalty_wallet.models import LoyaltyCard
from loyalty_wallet.sources import LoyaltyCardSource


class Code128Source(LoyaltyCardSource):
    format: ClassVar[BarcodeFormat] = BarcodeFormat.CODE_128

    def to_card(self, row: LoyaltyCard) -> Card:
        barcode = Barcode(value=row.card_number, format=self.format)
        return replace(super().to_card(row), barcode=barcode)


class Pdf417Source(Code128Source):
    format = BarcodeFormat.PDF_417


class AztecSource(Code128Source):
    format = BarcodeFormat.AZTEC
