"""Codes to scan, drawn as SVG: no style, no script, so that any content security policy takes it.

QR codes are always drawn; the other formats where zxing-cpp is installed (the extra `barcodes`).
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Any

import segno
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from ..cards import Barcode, BarcodeFormat

zxingcpp: Any
try:
    import zxingcpp
except ImportError:
    zxingcpp = None

QUIET_ZONE = 4
"""Modules of white around a QR code, as ISO/IEC 18004 asks."""
_ZXING_NAMES = {
    BarcodeFormat.PDF_417: "PDF417",
    BarcodeFormat.AZTEC: "Aztec",
    BarcodeFormat.CODE_128: "Code128",
}
_SIZE = re.compile(r'<svg width="(\d+)" height="(\d+)"')
_PATH = re.compile(r'<path d="([^"]+)"')
_NOTHING = SafeString("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What the till scans. `drawing` is empty for what only the wallets themselves draw."""

    value: str
    text: str
    drawing: SafeString
    is_wide: bool


def card_code(barcode: Barcode) -> Code:
    """Return the code of a card."""
    is_qr = barcode.format is BarcodeFormat.QR_CODE
    try:
        drawing = qr_code(barcode.value) if is_qr else _other_code(barcode)
    except ValueError:
        # More than the format holds: the wallets may still find a way.
        drawing = _NOTHING
    is_wide = barcode.format in (BarcodeFormat.PDF_417, BarcodeFormat.CODE_128)
    return Code(value=barcode.value, text=barcode.text, drawing=drawing, is_wide=is_wide)


def qr_code(value: str) -> SafeString:
    """Return a QR code as an `<svg>` that is as large as its place.

    Raises ValueError for more than a QR code holds.
    """
    drawn = io.BytesIO()
    segno.make(value, error="m", micro=False, boost_error=False).save(
        drawn,
        kind="svg",
        border=QUIET_ZONE,
        dark="#000",
        light="#fff",
        xmldecl=False,
        svgclass="code",
        lineclass=None,
        omitsize=True,
        nl=False,
    )
    # Ours from beginning to end: the value is in the drawing, not in its text.
    return mark_safe(drawn.getvalue().decode())  # noqa: S308  # nosec B308 B703


def _other_code(barcode: Barcode) -> SafeString:
    if zxingcpp is None:
        return _NOTHING
    format = getattr(zxingcpp.BarcodeFormat, _ZXING_NAMES[barcode.format])
    drawn = zxingcpp.create_barcode(barcode.value, format).to_svg()
    size, path = _SIZE.search(drawn), _PATH.search(drawn)
    if size is None or path is None:
        return _NOTHING
    return format_html(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" class="code">'
        '<rect width="100%" height="100%" fill="#fff"/><path fill="#000" d="{}"/></svg>',
        size[1],
        size[2],
        path[1],
    )
