"""Colours: what is written on a card can be read."""

from __future__ import annotations

import pytest

from loyalty_wallet.colors import BLACK, WHITE, Color, contrast, is_hex, legible_on, parse_hex


def test_text_is_legible_on_every_colour() -> None:
    """Black or white reaches the 4.5 that WCAG AA asks of small text, whatever is behind it."""
    steps = range(0, 256, 15)
    colors: list[Color] = [(red, green, blue) for red in steps for green in steps for blue in steps]
    assert min(contrast(legible_on(color), color) for color in colors) >= 4.5


def test_contrast_is_that_of_wcag() -> None:
    """From 1 for the same colour to 21 for black on white, in either order."""
    assert contrast(BLACK, WHITE) == contrast(WHITE, BLACK) == pytest.approx(21)
    assert contrast(WHITE, WHITE) == 1
    assert contrast(parse_hex("#767676"), WHITE) == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize(
    ("text", "color"),
    [("#fff", (255, 255, 255)), ("#0b3d2e", (11, 61, 46)), ("#ABC", (170, 187, 204))],
)
def test_hex_is_read(text: str, color: tuple[int, int, int]) -> None:
    """Three digits or six, in either case."""
    assert is_hex(text)
    assert parse_hex(text) == color


@pytest.mark.parametrize("text", ["", "fff", "#ff", "#ffff", "#ggg", "#fff\n", "red"])
def test_what_is_no_hex_is_refused(text: str) -> None:
    """What the providers would refuse, too."""
    assert not is_hex(text)
