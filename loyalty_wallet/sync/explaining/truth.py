"""What a phone should show now, what it was last given, and where the two part.

Nothing is sent and nothing written: the card is rendered as a worker would render it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import InterfaceError, OperationalError

from ...cards import Card
from ...exceptions import DeliveryError, MisconfiguredError
from ...models import WalletPass
from ...redaction import redact
from ...registry import get_wallets
from ...sources import get_card_source
from ...wallets.base import Payload, Wallet, canonical_json, fingerprint
from ..pump.rendering import as_of_now, render_program, unreadable

logger = logging.getLogger("loyalty_wallet.sync")

PROGRAM = "program"
"""Begins the paths of what the provider has of a program."""


class Obstacle(StrEnum):
    """Why nothing can be said of what the phone should show, or why nothing is sent to it."""

    MISCONFIGURED = "misconfigured"
    NOT_CONFIGURED = "not_configured"
    CARD_GONE = "card_gone"
    ERASED = "erased"
    NOT_NAMED = "not_named"
    """The card's program does not name the wallet, or no longer."""
    UNREADABLE = "unreadable"
    """The card cannot be read or breaks the provider's rules."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldTruth:
    """One field of a payload, named by its path and by what people call it, if they do."""

    path: str
    label: str
    desired: Any = None
    delivered: Any = None

    @property
    def differs(self) -> bool:
        return bool(self.desired != self.delivered)


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """A pass beside what it should be."""

    row: WalletPass
    card: Card | None = None
    obstacle: Obstacle | None = None
    error: DeliveryError | None = None
    """What a worker would fail with before it sends anything."""
    desired: Payload = field(default_factory=dict)
    fields: Sequence[FieldTruth] = ()
    is_published: bool = False
    """Phones fetch this pass from us."""
    is_changed: bool = False
    """A worker would have something new to deliver, of the pass or of its program."""

    @property
    def was_delivered(self) -> bool:
        """Whether a version is on record, for phones to fetch or as the provider's."""
        return bool(self.row.payload)

    @property
    def is_on_record(self) -> bool:
        """Whether what was delivered is what the card shows now."""
        is_readable = self.obstacle is not Obstacle.UNREADABLE
        return self.was_delivered and is_readable and not self.is_changed

    @property
    def is_left_alone(self) -> bool:
        """Whether nothing is sent to the wallet, whatever the card shows."""
        return self.obstacle is not None and self.obstacle is not Obstacle.UNREADABLE

    @property
    def is_certain(self) -> bool:
        """Whether what was delivered is what the provider has: no request got lost on its way."""
        return self.is_published or (bool(self.row.fingerprint) and not self.row.takeovers)

    @property
    def differences(self) -> list[FieldTruth]:
        return [item for item in self.fields if item.differs]


def truths_of(card_key: str, passes: Sequence[WalletPass]) -> list[Truth]:
    """Return the truth of each of these passes, all of one card.

    Never raises for a wrong setting or a card that cannot be read: that is part of the truth.
    """
    try:
        wallets = get_wallets()
        card = _load(card_key)
    except ImproperlyConfigured as error:
        wrong = MisconfiguredError(str(error))
        return [_untold(row, Obstacle.MISCONFIGURED, error=wrong) for row in passes]
    except DeliveryError as error:
        return [_untold(row, Obstacle.UNREADABLE, error=error) for row in passes]
    return [_truth(row, card, wallets.get(row.wallet)) for row in passes]


def flatten(payload: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value of a payload with its path; what is empty is left out.

    Entries of lists are named by their `key` or `id` where they have one, else by their number.
    """
    if isinstance(payload, dict):
        for name, value in payload.items():
            yield from flatten(value, _join(path, name))
    elif isinstance(payload, list | tuple):
        for number, value in enumerate(payload):
            name = value.get("key") or value.get("id") if isinstance(value, dict) else None
            yield from flatten(value, _join(path, name or number))
    elif payload is not None and payload != "":
        yield path, payload


def _load(card_key: str) -> Card | None:
    """Return the card, None when it is gone. Raises InvalidCardError for the source's faults."""
    try:
        source = get_card_source()
        row = next(iter(source.rows_for([card_key])), None)
        return None if row is None else source.to_card(row)
    except (ImproperlyConfigured, DeliveryError, OperationalError, InterfaceError):
        raise
    except Exception as error:
        logger.exception("The card %s could not be read.", redact(card_key))
        raise unreadable(error) from error


def _untold(row: WalletPass, obstacle: Obstacle, **known: Any) -> Truth:
    # Without its wallet, the versions on record tell how the pass gets to its phones.
    return Truth(row=row, obstacle=obstacle, is_published=row.change_tag > 0, **known)


def _truth(row: WalletPass, card: Card | None, wallet: Wallet | None) -> Truth:
    if row.state in (WalletPass.State.ERASING, WalletPass.State.ERASED):
        return _untold(row, Obstacle.ERASED)
    if wallet is None:
        return _untold(row, Obstacle.NOT_CONFIGURED, card=card)
    published = wallet.is_published
    if card is None:
        return Truth(row=row, obstacle=Obstacle.CARD_GONE, is_published=published)
    if wallet.alias not in card.program.wallets:
        return Truth(row=row, card=card, obstacle=Obstacle.NOT_NAMED, is_published=published)
    card = as_of_now(card)
    try:
        program = render_program(wallet, card.program)
        desired = wallet.render(card, remote_id=row.remote_id, program_id=program.update.remote_id)
        body = canonical_json(desired)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        if not isinstance(error, DeliveryError):
            logger.exception("The card %s could not be rendered.", redact(row.card_key))
        return Truth(
            row=row,
            card=card,
            obstacle=Obstacle.UNREADABLE,
            error=error if isinstance(error, DeliveryError) else unreadable(error),
            is_published=published,
        )
    wanted, had = dict(flatten(desired)), dict(flatten(row.payload))
    if not published:
        # Where phones fetch the pass, everything that they show is in it.
        wanted |= flatten(program.update.payload, PROGRAM)
        had |= flatten(program.delivered, PROGRAM)
    return Truth(
        row=row,
        card=card,
        desired=desired,
        fields=_compare(wanted, had, wallet),
        is_published=published,
        is_changed=fingerprint(body) != row.fingerprint or program.update.is_changed,
    )


def _compare(wanted: dict[str, Any], had: dict[str, Any], wallet: Wallet) -> tuple[FieldTruth, ...]:
    """Return the fields in the order of reading, the ones without a name last."""
    labels = wallet.field_labels
    paths = dict.fromkeys([*labels, *wanted, *had])
    return tuple(
        FieldTruth(
            path=path,
            label=labels.get(path, ""),
            desired=wanted.get(path),
            delivered=had.get(path),
        )
        for path in paths
        if path in wanted or path in had
    )


def _join(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)
