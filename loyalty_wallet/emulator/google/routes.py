"""Which resource a path is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Literal
from urllib.parse import parse_qsl, unquote

Kind = Literal["object", "class", "token", "keys"]

TOKEN_PATH = "/token"  # noqa: S105 (a path, not a secret)
KEYS_PATH = "/keys"
ROOT = "/walletobjects/v1/"
KINDS: dict[str, Kind] = {"loyaltyObject": "object", "loyaltyClass": "class"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A path, read once and then shared by all requests to it."""

    path: str
    kind: Kind | None = None
    resource_id: str | None = None
    verb: str = ""


@lru_cache(maxsize=100_000)
def parse_path(path: str) -> Route:
    """Return the route of a request path; an unknown path has no kind."""
    if path == TOKEN_PATH:
        return Route(path=path, kind="token")
    if path == KEYS_PATH:
        return Route(path=path, kind="keys")
    if not path.startswith(ROOT):
        return Route(path=path)
    collection, *rest = path.removeprefix(ROOT).split("/")
    kind = KINDS.get(collection)
    if kind is None or len(rest) > 2 or rest == [""]:
        return Route(path=path)
    resource_id = unquote(rest[0]) if rest else None
    verb = rest[1] if len(rest) == 2 else ""
    return Route(path=path, kind=kind, resource_id=resource_id, verb=verb)


@lru_cache(maxsize=4096)
def parse_query(query: str) -> Mapping[str, str]:
    """Return the query parameters; of a repeated one the last counts."""
    return MappingProxyType(dict(parse_qsl(query, keep_blank_values=True)))
