"""Writing for people: on a terminal, into a file, or through a pipe."""

from __future__ import annotations

from typing import TextIO

from django.core.management.base import OutputWrapper
from rich.console import Console

NARROWEST = 60


def console_for(stream: TextIO | OutputWrapper) -> Console:
    """Return a console on `stream`; coloured, and broken into lines, only on a terminal."""
    console = Console(file=stream, highlight=False, soft_wrap=not stream.isatty())  # type: ignore[arg-type]
    if console.width < NARROWEST:
        console.width = NARROWEST
    return console
