"""What an audit has found so far: all of it counted, the first of each kind kept."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

MOST_KEPT = 200
"""Of each kind: a class that has been emptied must not write a million rows."""


class FindingKind(StrEnum):
    """How the provider's passes differ from ours."""

    MISSING = "missing"
    """We delivered it, and the provider does not have it."""
    DIFFERENT = "different"
    """The provider has it otherwise than it was delivered."""
    UNKNOWN = "unknown"
    """The provider has it, and it is none of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One pass that is not as it should be; `fields` are the provider's names of what differs."""

    kind: FindingKind
    remote_id: str
    program_key: str
    card_key: str = ""
    fields: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind.value,
            "card_id": self.card_key,
            "program": self.program_key,
            "remote_id": self.remote_id,
            "fields": list(self.fields),
        }


class Findings:
    """The counts of an audit and its first findings.

    `objects` are what the provider has, `equal` those that are as they were delivered. Not judged
    are passes that are `due`, since we know that they are wrong, and those delivered only just now
    (`recent`). `fixed` have become due.
    """

    NAMES = ("objects", "equal", "due", "recent", "missing", "different", "unknown", "fixed")

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter(dict.fromkeys(self.NAMES, 0))
        self.kept: list[Finding] = []

    def add(self, finding: Finding) -> None:
        self.counts[finding.kind.value] += 1
        if self.counts[finding.kind.value] <= MOST_KEPT:
            self.kept.append(finding)
