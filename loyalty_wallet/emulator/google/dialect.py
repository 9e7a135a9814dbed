"""How Google spells what it answers: other enum names, `kind` keys and fields nobody sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

from .errors import InvalidParameterError
from .schema import discovery_schemas

Json = Any
Render = Callable[[Json], Json]
Selection = dict[str, "Selection | None"]

# Google adds fields without notice; a client that refuses unknown ones would break that day.
LATER_FIELD = "fieldAddedLater"

JSON_TYPE = "application/json; charset=UTF-8"

encode_compact = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
encode_pretty = json.JSONEncoder(indent=2, ensure_ascii=False).encode


def alias_of(value: str, allowed: list[str]) -> str:
    """Return the spelling in which Google answers an enum value that was sent in upper case."""
    plain = value.replace("_", "").casefold()
    for other in allowed:
        if not other.isupper() and "_" not in other and other.casefold() == plain:
            return other
    first, *rest = value.lower().split("_")
    return first + "".join(word.capitalize() for word in rest)


@cache
def _renderers() -> dict[str, Render]:
    schemas = discovery_schemas()
    renderers: dict[str, Render] = {}
    tables: dict[str, dict[str, Render]] = {name: {} for name in schemas}
    for name, properties in schemas.items():
        kind = properties.get("kind", {}).get("const")
        renderers[name] = _object_renderer(tables[name], kind)
    for name, properties in schemas.items():
        for field, shape in properties.items():
            renderer = _value_renderer(shape, renderers)
            if renderer is not None:
                tables[name][field] = renderer
    return renderers


def _object_renderer(table: dict[str, Render], kind: str | None) -> Render:
    def render(value: Json) -> Json:
        rendered = {"kind": kind, **value} if kind else value.copy()
        for field, content in value.items():
            if field in table:
                rendered[field] = table[field](content)
        return rendered

    return render


def _value_renderer(shape: dict[str, Any], renderers: dict[str, Render]) -> Render | None:
    if "$ref" in shape:
        return renderers[shape["$ref"]]
    if "enum" in shape:
        aliases = {value: alias_of(value, shape["enum"]) for value in shape["enum"]}
        aliases |= {alias: alias for alias in shape["enum"] if alias in aliases.values()}
        return aliases.__getitem__
    if shape["type"] == "array":
        item = _value_renderer(shape["items"], renderers)
        return None if item is None else lambda value: [item(entry) for entry in value]
    return None


def _only(stored: Json, selection: Selection | None) -> Json:
    # What is not asked for is not worth rendering: most clients ask for three fields.
    if selection is None or "*" in selection:
        return stored
    return {field: stored[field] for field in selection if field in stored}


def render_class(stored: Json, selection: Selection | None = None) -> dict[str, Any]:
    """Return a class as Google answers it."""
    rendered: dict[str, Any] = _renderers()["LoyaltyClass"](_only(stored, selection))
    rendered[LATER_FIELD] = True
    return rendered


def render_object(
    stored: Json, class_reference: Json, selection: Selection | None = None
) -> dict[str, Any]:
    """Return an object as Google answers it, with its class inside."""
    rendered: dict[str, Any] = _renderers()["LoyaltyObject"](_only(stored, selection))
    rendered.setdefault("hasUsers", False)
    if class_reference is not None:
        rendered["classReference"] = class_reference
    rendered[LATER_FIELD] = True
    return rendered


@lru_cache(maxsize=256)
def parse_fields(fields: str) -> Selection:
    """Read the `fields` parameter: `a,b/c,d(e,f)`."""
    try:
        selection, rest = _parse_selection(fields)
    except (IndexError, RecursionError):
        rest = fields
    if rest:
        raise InvalidParameterError(f"Invalid field selection {fields}")
    return selection


def _parse_selection(text: str) -> tuple[Selection, str]:
    selection: Selection = {}
    while True:
        end = next((i for i, char in enumerate(text) if char in ",/()"), len(text))
        name, text = text[:end].strip(), text[end:]
        if not name:
            raise IndexError(text)
        below: Selection | None = None
        if text.startswith("("):
            below, text = _parse_selection(text[1:])
            if not text.startswith(")"):
                raise IndexError(text)
            text = text[1:]
        elif text.startswith("/"):
            end = next((i for i, char in enumerate(text) if char in ",)"), len(text))
            below, rest = _parse_selection(text[1:end])
            text = rest + text[end:]
        selection[name] = below
        if not text.startswith(","):
            return selection, text
        text = text[1:]


def select(value: Json, selection: Selection | None) -> Json:
    """Return only the selected fields of an answer."""
    if selection is None or "*" in selection:
        return value
    if isinstance(value, list):
        return [select(entry, selection) for entry in value]
    if not isinstance(value, dict):
        return value
    return {
        field: select(content, selection[field])
        for field, content in value.items()
        if field in selection
    }
