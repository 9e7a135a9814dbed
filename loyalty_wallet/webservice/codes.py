"""Codes to scan, drawn as SVG: no style, no script, so that any content security policy takes it."""

from __future__ import annotations

import io
from contextlib import suppress
from dataclasses import dataclass

import segno
from django.utils.safestring import SafeString, mark_safe

from ..cards import Barcode, BarcodeFormat

QUIET_ZONE = 4
"""Modules of white around a QR code, as ISO/IEC 18004 asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What the till scans. `drawing` is empty for what only the wallets themselves draw."""

    value: str
    text: str
    drawing: SafeString


def card_code(barcode: Barcode) -> Code:
    """Return the code of a card; of the four formats only QR codes are drawn here."""
    drawing = SafeString("")
    if barcode.format is BarcodeFormat.QR_CODE:
        # One that holds too much is left to the wallets as well.
        with suppress(segno.DataOverflowError):
            drawing = qr_code(barcode.value)
    return Code(value=barcode.value, text=barcode.text, drawing=drawing)


def qr_code(value: str) -> SafeString:
    """Return a QR code as an `<svg>` that is as large as its place.

    Raises segno.DataOverflowError for more than a QR code holds.
    """
    drawn = io.BytesIO()
    segno.make(value, error="m", micro=False, boost_error=False).save(
        drawn,
        kind="svg",
        border=QUIET_ZONE,
        dark="#000",
        light="#fff",
        xmldecl=False,
        svgclass="qr-code",
        lineclass=None,
        omitsize=True,
        nl=False,
    )
    # Ours from beginning to end: the value is in the drawing, not in its text.
    return mark_safe(drawn.getvalue().decode())  # noqa: S308
