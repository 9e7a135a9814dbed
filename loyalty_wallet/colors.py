"""Colours, and what is legible on them as WCAG 2 measures contrast."""

from __future__ import annotations

import re

Color = tuple[int, int, int]

BLACK: Color = (0, 0, 0)
WHITE: Color = (255, 255, 255)

_HEX = re.compile(r"#(?:[0-9a-fA-F]{3}){1,2}")


def is_hex(text: str) -> bool:
    """Say whether `text` is `#rgb` or `#rrggbb`."""
    return _HEX.fullmatch(text) is not None


def parse_hex(text: str) -> Color:
    """Return the colour that `#rgb` or `#rrggbb` stands for."""
    digits = text[1:] if len(text) == len("#rrggbb") else "".join(digit * 2 for digit in text[1:])
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


def legible_on(background: Color) -> Color:
    """Return black or white: whichever stands out more. Its contrast is 4.58 at the least."""
    return max((BLACK, WHITE), key=lambda text: contrast(text, background))


def contrast(one: Color, other: Color) -> float:
    """Return the contrast ratio, from 1 to 21; text needs 4.5."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: Color) -> float:
    red, green, blue = (_linear(channel / 255) for channel in color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.03928 else ((channel + 0.055) / 1.055) ** 2.4
