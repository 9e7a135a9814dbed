"""What wallets are given to deliver, and what they answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

Payload = Mapping[str, Any]

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


class Outcome(StrEnum):
    """How a pass came to be up to date."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramUpdate:
    """What a program's cards need at the provider before they can be right."""

    remote_id: str
    payload: Payload
    is_known: bool
    """The provider has had it before."""
    is_changed: bool
    """What the provider has is older than `payload`."""


class PushAnswer(StrEnum):
    """What a push service said of one device."""

    ACCEPTED = "accepted"
    GONE = "gone"
    """The device has not had the pass since `PushTarget.gone_since`."""
    BAD_TOKEN = "bad_token"  # noqa: S105
    """The push service does not know the token; nor would it, if we asked the wrong service."""
    REFUSED = "refused"
    """Nothing is wrong with the device, but it was not told."""


@dataclass(slots=True, eq=False, kw_only=True)
class PushTarget:
    """A device to tell of a pass, and what came of it: kept over the attempts of one delivery."""

    key: int
    """The caller's own name for the device."""
    push_token: str = field(repr=False)
    answer: PushAnswer | None = None
    answered_at: datetime | None = None
    gone_since: datetime | None = None
    """From when on the push service has known that the token is dead."""
    reason: str = ""
    push_id: str = ""
    """By which the push service knows the push."""


@dataclass(slots=True, eq=False)
class PassAnswer:
    """What a provider mentioned of a pass while it took an update."""

    has_users: bool | None = None
    """Whether somebody has the pass in a wallet; None when it did not say."""
    was_muted: bool = False
    """The provider refused to notify the customer, and took the update in silence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassUpdate:
    """One pass to bring up to date."""

    remote_id: str
    payload: Payload
    body: bytes
    """The payload's canonical JSON."""
    program: ProgramUpdate
    is_changed: bool = True
    """False: only the program has changed."""
    may_create: bool = True
    """Insert the pass when the provider does not know it."""
    is_blank: bool = False
    """Nothing of its customer is to be left: a pass that the provider does not know is right."""
    notify: bool = False
    """Let the provider tell the customer; it allows 3 notifications per pass in 24 hours."""
    targets: Sequence[PushTarget] = ()
    """The devices that have not been told of the pass as it is now."""
    published_at: float = 0.0
    """Since when phones can fetch it, by the monotonic clock: an older push does not speak of it."""
    answer: PassAnswer = field(default_factory=PassAnswer, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PassMessage:
    """A message to whoever has a pass, as the wallet shows it beside the card."""

    id: str
    """The same for the same message to the same pass: by it a message is found again."""
    header: str
    body: str
    notify: bool = False


class MessageOutcome(StrEnum):
    """What became of a message."""

    SENT = "sent"
    MUTED = "muted"
    """Sent, but the provider refused to notify the customer."""
    FOUND = "found"
    """It was there already."""


def canonical_json(payload: Payload) -> bytes:
    """Return the one spelling of the payload: what is sent, stored and fingerprinted."""
    return _CANONICAL.encode(payload).encode()


def fingerprint(body: bytes) -> str:
    """Return the SHA-256 of a payload's canonical JSON."""
    return hashlib.sha256(body).hexdigest()
