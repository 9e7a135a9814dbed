from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.phonefront import apns, authority, configure_apple
from tests.shopfront import configure, google, make_cards, program, right_cards

from .importing import COLUMNS, Run, run_command

__all__ = [
    "apns",
    "authority",
    "configure",
    "configure_apple",
    "google",
    "make_cards",
    "program",
    "right_cards",
]


@pytest.fixture
def file_of(tmp_path: Path) -> Callable[..., str]:
    """Write these rows into a CSV file of passes; return its path."""

    def write(*rows: tuple[object, ...], columns: tuple[str, ...] = COLUMNS) -> str:
        path = tmp_path / "passes.csv"
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([columns, *rows])
        return str(path)

    return write


@pytest.fixture
def take_over(file_of: Callable[..., str]) -> Run:
    """Import these rows; return what the command says."""

    def run(*rows: tuple[object, ...], options: tuple[str, ...] = ()) -> str:
        return run_command("--csv", file_of(*rows), *options)

    return run
