"""Requests and answers of one HTTP/2 connection."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from ...exceptions import NetworkError


class NotProcessedError(NetworkError):
    """The peer has certainly, or very likely, not looked at the request: it may be sent again."""


@dataclass(slots=True)
class Answer:
    """What came back for one request."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""


@dataclass(slots=True)
class Stream:
    """A request on its way."""

    future: asyncio.Future[Answer]
    is_on_stale_connection: bool
    answer: Answer = field(default_factory=Answer)
