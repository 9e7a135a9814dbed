"""Which card a pass belongs to, by what another system says of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from django.utils.module_loading import import_string

from ...sources import get_card_source
from .reading import ImportSourceError

MATCHES = ("pk", "card_number")
"""The rules that have a name; every other is the dotted path of a function."""

Match = Callable[[Iterable[str]], Mapping[str, list[str]]]
"""Returns the keys of the cards that each text may mean; one that means none may be left out."""


def matcher(rule: str) -> Match:
    """Return what finds cards by a rule.

    `pk`: the text is a card's key. `card_number`: its number. A dotted path: the function there is
    called with each text and returns the card's key, or None. Raises ImportSourceError.
    """
    if rule == "pk":
        return _by_key
    if rule == "card_number":
        if not get_card_source().number_field:
            raise ImportSourceError(
                "The card source names no number_field: cards cannot be matched by their number."
            )
        return _by_number
    try:
        function = import_string(rule)
    except ImportError as error:
        raise ImportSourceError(
            f"{rule!r} is none of {', '.join(MATCHES)}, and no function: {error}."
        ) from error
    if not callable(function):
        raise ImportSourceError(f"{rule!r} cannot be called.")
    return partial(_by_function, function)


def _by_key(texts: Iterable[str]) -> dict[str, list[str]]:
    return {text: [text] for text in texts}


def _by_number(texts: Iterable[str]) -> dict[str, list[str]]:
    keys: dict[str, list[str]] = defaultdict(list)
    for number, key in get_card_source().keys_by_number(texts):
        keys[number].append(key)
    return keys


def _by_function(
    function: Callable[[str], object | None], texts: Iterable[str]
) -> dict[str, list[str]]:
    keys = {text: function(text) for text in texts}
    return {text: [] if key is None else [str(key)] for text, key in keys.items()}
