"""Passes as a provider has them, read back in pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RemotePass:
    """A pass as the provider has it, as far as it was asked for."""

    remote_id: str
    payload: Mapping[str, Any]
    has_users: bool | None = None
    """Whether somebody has the pass in a wallet; None when the provider does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemotePage:
    """One page of a program's passes; `next_token` is empty on the last one."""

    passes: Sequence[RemotePass]
    next_token: str = ""
