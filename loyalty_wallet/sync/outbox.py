"""How a pass comes to be, and how it comes to be due: in the transaction that changes the card."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from django.db import router, transaction
from django.db.models import Q
from django.db.models.signals import post_delete

from .. import signals
from ..cards import Card
from ..exceptions import SelectionError
from ..models import DatabaseNow, LoyaltyCard, LoyaltyProgram, WalletPass
from ..registry import get_wallets
from ..sources import get_card_source
from .erasure import erased_among

logger = logging.getLogger("loyalty_wallet.sync")

CHUNK_SIZE = 500


def touch(card_keys: Iterable[str]) -> int:
    """Mark the passes of these cards as due, and make the ones that their programs ask for.

    Runs in the caller's transaction, so that a change and its delivery cannot be parted; a worker
    is woken after the commit. Returns how many passes are due for it.
    """
    keys = list(dict.fromkeys(_keys(card_keys)))
    total = mark_due(keys)
    signals.passes_touched.send(sender=WalletPass, card_keys=keys)
    return total


def mark_due(
    card_keys: Iterable[str],
    *,
    wallets: Iterable[str] | None = None,
    priority: int | None = None,
    unless: Q | None = None,
) -> int:
    """Do what `touch` does without waking anybody: for a caller that delivers them itself.

    Passes for which `unless` holds are left as they are.
    """
    aliases = None if wallets is None else _configured(wallets)
    total = 0
    with transaction.atomic(using=_database()):
        for chunk in in_chunks(_keys(card_keys)):
            passes = WalletPass.objects.for_cards(chunk)
            if aliases is not None:
                passes = passes.filter(wallet__in=aliases)
            if unless is not None:
                passes = passes.exclude(unless)
            total += passes.touch(priority=priority)
            total += _issue(chunk, aliases, only_automatic=True)
    return total


def issue(card_keys: Iterable[str], wallets: Iterable[str] | None = None) -> int:
    """Make the missing passes of these cards, due at once; return how many were made.

    A card gets a pass in each of `wallets` (by default: all that are configured) that its program
    names. A card that was erased gets none.
    Raises SelectionError for an alias that is not configured.
    """
    aliases = None if wallets is None else _configured(wallets)
    total = 0
    with transaction.atomic(using=_database()):
        for chunk in in_chunks(_keys(card_keys)):
            total += _issue(chunk, aliases, only_automatic=False)
    return total


def connect() -> None:
    """Let changes of our own cards and programs touch their passes."""
    # For this table alone: with listeners, Django deletes row by row.
    post_delete.connect(
        _touch_deleted, sender=LoyaltyCard, dispatch_uid="loyalty_wallet.touch_deleted"
    )
    signals.cards_changed.connect(_touch_changed_cards, dispatch_uid="loyalty_wallet.touch")
    signals.program_changed.connect(_touch_program, dispatch_uid="loyalty_wallet.touch_program")


def in_chunks(keys: Iterable[str], size: int = CHUNK_SIZE) -> Iterator[list[str]]:
    """Yield the keys in lists of at most `size`."""
    remaining = iter(keys)
    while chunk := list(dict.fromkeys(islice(remaining, size))):
        yield chunk


def _issue(card_keys: list[str], aliases: list[str] | None, *, only_automatic: bool) -> int:
    configured = get_wallets()
    wanted = list(configured) if aliases is None else aliases
    existing = set(
        WalletPass.objects.for_cards(card_keys)
        .filter(wallet__in=wanted)
        .values_list("card_key", "wallet")
    )
    lacking = [key for key in card_keys if any((key, alias) not in existing for alias in wanted)]
    erased = erased_among(lacking) if lacking else set()
    passes = []
    for card in _load([key for key in lacking if key not in erased]):
        program = card.program
        if only_automatic and not (program.auto_issue and program.is_active and card.is_active):
            continue
        passes += [
            _new_pass(card, alias)
            for alias in program.wallets
            if alias in wanted and (card.key, alias) not in existing
        ]
    # Another process may issue the same card at this moment; the table lets only one through.
    WalletPass.objects.bulk_create(passes, ignore_conflicts=True)
    return len(passes)


def _new_pass(card: Card, alias: str) -> WalletPass:
    wallet = get_wallets()[alias]
    return WalletPass(
        card_key=card.key,
        wallet=alias,
        remote_id=wallet.remote_id(WalletPass.new_suffix()),
        authentication_token=WalletPass.new_authentication_token() if wallet.is_published else "",
        program_key=card.program.key,
        card_label=card.label[:200],
        due_at=DatabaseNow(),
        changed_at=DatabaseNow(),
    )


def _load(card_keys: list[str]) -> Iterator[Card]:
    if not card_keys:
        return
    source = get_card_source()
    for row in source.rows_for(card_keys):
        try:
            yield source.to_card(row)
        except Exception:
            # The shop's own code. The change being recorded must not fail for it.
            logger.exception("A card could not be read; it gets no pass for now.")


def _keys(card_keys: Iterable[str]) -> Iterable[str]:
    if isinstance(card_keys, str):
        raise TypeError("Give an iterable of card keys, not a single string.")
    return (str(key) for key in card_keys)


def _configured(aliases: Iterable[str]) -> list[str]:
    aliases = list(aliases)
    unknown = [alias for alias in aliases if alias not in get_wallets()]
    if unknown:
        known = ", ".join(get_wallets()) or "none"
        raise SelectionError(f"No wallet {unknown[0]!r} is configured. Configured: {known}.")
    return aliases


def _database() -> str:
    return router.db_for_write(WalletPass)


def _touch_changed_cards(*, sender: Any, card_keys: list[str], **_: Any) -> None:
    # With another card source the keys of our own table would name somebody else's cards.
    if get_card_source().model is sender:
        touch(card_keys)


def _touch_deleted(*, sender: Any, instance: LoyaltyCard, **_: Any) -> None:
    if get_card_source().model is sender:
        touch([get_card_source().key_for(instance)])


def _touch_program(*, program: LoyaltyProgram, **_: Any) -> None:
    if get_card_source().model is program.cards.model:
        touch(str(pk) for pk in program.cards.values_list("pk", flat=True).iterator())
