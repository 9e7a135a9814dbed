"""What an examination finds: good or bad, and the line that mends it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """How bad it is."""

    GOOD = "good"
    NOTE = "note"
    """Worth knowing; nothing has to be done."""
    WARNING = "warning"
    ERROR = "error"

    @property
    def is_bad(self) -> bool:
        return self in (Grade.WARNING, Grade.ERROR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing, for the operator's own terminal: it may name accounts and files, never secrets."""

    code: str
    """For machines; never changes."""
    grade: Grade
    text: str
    fix: str = ""
    """What to type or to edit."""
    wallet: str = ""
