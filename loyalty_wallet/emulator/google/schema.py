"""Google's discovery document, compiled into functions that check a resource in microseconds."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from .errors import SchemaError

Json = Any
Check = Callable[[Json], None]
Schema = dict[str, dict[str, Any]]

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
INT64 = re.compile(r"-?[0-9]{1,19}", re.ASCII)


@cache
def discovery_schemas() -> dict[str, Schema]:
    """Return the schemas of the trimmed discovery document by name."""
    document = json.loads(Path(__file__).with_name("discovery.json").read_text(encoding="utf-8"))
    schemas: dict[str, Schema] = document["schemas"]
    return schemas


def compile_checks(rules: Mapping[str, Check]) -> dict[str, Check]:
    """Return one check per schema; `rules` adds what the schema itself cannot express."""
    checks: dict[str, Check] = {}
    schemas = discovery_schemas()
    tables: dict[str, dict[str, Check]] = {name: {} for name in schemas}
    for name, table in tables.items():
        checks[name] = _object_check(table, rules.get(name))
    for name, properties in schemas.items():
        for field, shape in properties.items():
            tables[name][field] = _value_check(shape, checks)
    return checks


def _object_check(table: dict[str, Check], rule: Check | None) -> Check:
    def check(value: Json) -> None:
        if value.__class__ is not dict:
            raise SchemaError(f"Expected an object, got {_kind(value)}.")
        for field, content in value.items():
            try:
                checker = table[field]
            except KeyError:
                raise SchemaError(
                    f'Invalid JSON payload received. Unknown name "{field}": Cannot find field.'
                ) from None
            # Google reads null as "not set" everywhere.
            if content is not None:
                try:
                    checker(content)
                except SchemaError as error:
                    raise error.under(field) from None
        if rule is not None:
            rule(value)

    return check


def _value_check(shape: dict[str, Any], checks: dict[str, Check]) -> Check:
    if "$ref" in shape:
        return checks[shape["$ref"]]
    if shape["type"] == "array":
        return _array_check(_value_check(shape["items"], checks))
    if "enum" in shape:
        return _enum_check(frozenset(shape["enum"]))
    return _LEAVES[shape["type"], shape.get("format")]


def _array_check(item_check: Check) -> Check:
    def check(value: Json) -> None:
        if value.__class__ is not list:
            raise SchemaError(f"Expected a list, got {_kind(value)}.")
        for position, item in enumerate(value):
            try:
                item_check(item)
            except SchemaError as error:
                raise error.under(str(position)) from None

    return check


def _enum_check(allowed: frozenset[str]) -> Check:
    def check(value: Json) -> None:
        if value.__class__ is not str or value not in allowed:
            raise SchemaError(f"Invalid value {json.dumps(value)}: not one of the enum's values.")

    return check


def _string(value: Json) -> None:
    if value.__class__ is not str:
        raise SchemaError(f"Expected a string, got {_kind(value)}.")


def _boolean(value: Json) -> None:
    if value.__class__ is not bool:
        raise SchemaError(f"Expected true or false, got {_kind(value)}.")


def _int32(value: Json) -> None:
    if value.__class__ is not int:
        raise SchemaError(f"Expected a whole number, got {_kind(value)}.")
    if not INT32_MIN <= value <= INT32_MAX:
        raise SchemaError(f"Value {value} is out of range for int32.")


def _int64(value: Json) -> None:
    # JSON carries int64 as a string: JavaScript's numbers lose digits above 2**53.
    if value.__class__ is not str or not INT64.fullmatch(value):
        raise SchemaError("Expected a whole number written as a string (int64).")
    if not INT64_MIN <= int(value) <= INT64_MAX:
        raise SchemaError(f"Value {value} is out of range for int64.")


def _double(value: Json) -> None:
    if value.__class__ is not int and value.__class__ is not float:
        raise SchemaError(f"Expected a number, got {_kind(value)}.")


def _kind(value: Json) -> str:
    return "null" if value is None else type(value).__name__


_LEAVES: dict[tuple[str, str | None], Check] = {
    ("string", None): _string,
    ("string", "int64"): _int64,
    ("boolean", None): _boolean,
    ("integer", "int32"): _int32,
    ("number", "double"): _double,
}
