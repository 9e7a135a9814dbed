"""Writing for people: on a terminal, into a file, or through a pipe."""

from __future__ import annotations

from typing import TextIO

from django.core.management.base import OutputWrapper
from rich.console import Console

NARROWEST = 60
NARROW = 72
"""Below this many columns, what would stand side by side stands one below the other."""
PIPE_WIDTH = 100


def console_for(stream: TextIO | OutputWrapper) -> Console:
    """Return a console on `stream`; coloured, and broken into lines, only on a terminal."""
    _survive_old_encodings(stream)
    console = Console(file=stream, highlight=False, soft_wrap=not stream.isatty())  # type: ignore[arg-type]
    if console.width < NARROWEST:
        console.width = NARROWEST
    return console


def open_console(stream: TextIO | OutputWrapper) -> Console:
    """Return a console for who lays out by its width: as wide as the terminal, however narrow."""
    _survive_old_encodings(stream)
    if stream.isatty():
        return Console(file=stream, highlight=False)  # type: ignore[arg-type]
    return Console(file=stream, highlight=False, width=PIPE_WIDTH)  # type: ignore[arg-type]


def is_narrow(console: Console) -> bool:
    return console.width < NARROW


def _survive_old_encodings(stream: TextIO | OutputWrapper) -> None:
    """Let a sign that the output has no code for become a question mark, not a traceback."""
    if reconfigure := getattr(stream, "reconfigure", None):
        reconfigure(errors="replace")
