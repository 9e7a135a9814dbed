"""From what a person has at hand of a card to its key: the pass table first, then the source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ...exceptions import SelectionError
from ...models import WalletPass
from ...sources import get_card_source
from ..outbox import in_chunks

NUMBER_PREFIX = "number:"
"""Makes a text a card number, where it could be taken for the key of another card."""
MOST_NAMED = 10


def find_card_keys(texts: Iterable[str]) -> list[str]:
    """Return the keys of the cards that these texts name, each once, in their order.

    A text is a card's key, the id of its Google object, the serial number of its Apple pass, or
    its card number. A key wins over a number: what reports list is never taken for something else.
    Raises SelectionError, naming them, for texts that are no card's or the number of several.
    """
    wanted = list(dict.fromkeys(texts))
    found: dict[str, str] = {}
    for chunk in in_chunks(wanted):
        found |= _by_pass(chunk)
        missing = [text for text in chunk if text not in found]
        found |= {key: key for key in _keys_of_source(missing)}
        found |= _by_number([text for text in missing if text not in found])
    if unknown := [text for text in wanted if text not in found]:
        raise SelectionError(
            f"No card has this key, card number, object id or serial number: {_named(unknown)}."
        )
    return list(dict.fromkeys(found[text] for text in wanted))


def _by_pass(texts: Sequence[str]) -> dict[str, str]:
    # Compared here once more: some databases take "a" for "A".
    by_remote_id = WalletPass.objects.filter(remote_id__in=texts)
    found = dict(by_remote_id.values_list("remote_id", "card_key"))
    keys = WalletPass.objects.for_cards(texts).values_list("card_key", flat=True)
    found |= {key: key for key in keys}
    return {text: found[text] for text in texts if text in found}


def _keys_of_source(texts: Sequence[str]) -> Iterable[str]:
    """Yield those of the texts that are keys: of cards that have no pass."""
    if not texts:
        return ()
    source = get_card_source()
    return {source.key_for(row) for row in source.rows_for(texts)}.intersection(texts)


def _by_number(texts: Sequence[str]) -> dict[str, str]:
    numbers = {text: text.removeprefix(NUMBER_PREFIX) for text in texts}
    if not numbers:
        return {}
    keys: dict[str, list[str]] = {}
    for number, key in get_card_source().keys_by_number(numbers.values()):
        keys.setdefault(number, []).append(key)
    _refuse_ambiguous(keys, numbers.values())
    return {text: keys[number][0] for text, number in numbers.items() if number in keys}


def _refuse_ambiguous(keys: Mapping[str, Sequence[str]], numbers: Iterable[str]) -> None:
    for number in numbers:
        if len(several := sorted(keys.get(number, ()))) > 1:
            raise SelectionError(
                f"{len(several)} cards have the number {number!r}. Name one by its key: "
                f"{_named(several)}."
            )


def _named(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - MOST_NAMED} more" if len(texts) > MOST_NAMED else ""
    return ", ".join(repr(text[:100]) for text in texts[:MOST_NAMED]) + more
