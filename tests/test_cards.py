"""The vocabulary: values that cannot be changed, and usable without Django."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from loyalty_wallet.cards import Barcode, BarcodeFormat, Card, Program, ProgramKind

PROGRAM = Program(key="coffee", name="Coffee Club", issuer_name="Corner Shop")


@pytest.mark.parametrize(
    ("kind", "has_points", "has_stamps"),
    [
        (ProgramKind.POINTS, True, False),
        (ProgramKind.STAMPS, False, True),
        (ProgramKind.HYBRID, True, True),
    ],
)
def test_kind_says_what_is_counted(kind: ProgramKind, has_points: bool, has_stamps: bool) -> None:
    """A program counts points, stamps or both."""
    assert (kind.has_points, kind.has_stamps) == (has_points, has_stamps)


@pytest.mark.parametrize(
    "value", [PROGRAM, Card(key="1", program=PROGRAM, card_number="C1"), Barcode(value="C1")]
)
def test_values_are_frozen(value: Program | Card | Barcode) -> None:
    """What has crossed a boundary is never changed, and equal values are equal."""
    field = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, "other")
    assert dataclasses.replace(value) == value
    assert hash(dataclasses.replace(value)) == hash(value)


@pytest.mark.parametrize(
    ("number", "holder", "label"),
    [("C1", "Ada", "C1 Ada"), ("C1", "", "C1"), ("", "Ada", "Ada")],
)
def test_label_is_what_a_person_recognises(number: str, holder: str, label: str) -> None:
    """The label is the number and the holder, without stray blanks."""
    card = Card(key="1", program=PROGRAM, card_number=number, holder_name=holder)
    assert card.label == label


def test_program_is_on_both_phones_by_default() -> None:
    """Without a choice a program's cards go to both wallets, at once, as QR codes."""
    assert PROGRAM.wallets == ("google", "apple")
    assert PROGRAM.auto_issue
    assert Barcode(value="C1").format is BarcodeFormat.QR_CODE


@pytest.mark.parametrize(
    "module", ["loyalty_wallet.cards", "loyalty_wallet.exceptions", "loyalty_wallet.wallets.google"]
)
def test_works_without_django(module: str) -> None:
    """Cards, errors and wallets can be used by a script that has no Django project."""
    script = f"import sys, {module}; assert 'django' not in sys.modules, 'Django was imported'"
    subprocess.run([sys.executable, "-c", script], check=True)
