"""What a run is about: one of six kinds, narrowed to a program or a wallet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from django.db.models import F, Q

from ..exceptions import SelectionError
from ..models import SyncFailure, SyncRun, WalletPass
from ..registry import get_wallets
from ..sources import get_card_source
from ..wallets.base import Wallet
from .outbox import in_chunks, mark_due


class Kind(StrEnum):
    DUE = "due"
    CARDS = "cards"
    FAILED = "failed"
    RUN = "run"
    SINCE = "since"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What to sync. Without arguments: everything that is due."""

    kind: Kind = Kind.DUE
    cards: tuple[str, ...] = ()
    run_id: int | None = None
    since: datetime | None = None
    program: str = ""
    wallet: str = ""

    @classmethod
    def of_cards(cls, card_keys: Iterable[str]) -> Self:
        return cls(kind=Kind.CARDS, cards=tuple(dict.fromkeys(str(key) for key in card_keys)))

    @classmethod
    def of_failed(cls) -> Self:
        return cls(kind=Kind.FAILED)

    @classmethod
    def of_run(cls, run_id: int) -> Self:
        """The failed and deferred passes of that run that nothing has resolved since."""
        return cls(kind=Kind.RUN, run_id=run_id)

    @classmethod
    def of_changes_since(cls, moment: datetime) -> Self:
        return cls(kind=Kind.SINCE, since=moment)

    @classmethod
    def of_all(cls) -> Self:
        return cls(kind=Kind.ALL)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read what `as_json` wrote. Raises SelectionError for anything else."""
        try:
            values = dict(stored)
            kind = Kind(values.pop("kind", Kind.DUE))
            since = values.pop("since", None)
            return cls(
                kind=kind,
                cards=tuple(str(key) for key in values.pop("cards", ())),
                since=None if since is None else datetime.fromisoformat(since),
                **values,
            )
        except (TypeError, ValueError) as error:
            raise SelectionError(f"This is not a selection: {stored!r}") from error

    def as_json(self) -> dict[str, Any]:
        stored: dict[str, Any] = {"kind": self.kind.value}
        if self.kind is Kind.CARDS:
            stored["cards"] = list(self.cards)
        if self.since is not None:
            stored["since"] = self.since.isoformat()
        for name in ("run_id", "program", "wallet"):
            if value := getattr(self, name):
                stored[name] = value
        return stored

    def narrowed(self, *, program: str = "", wallet: str = "") -> Self:
        return replace(self, program=program or self.program, wallet=wallet or self.wallet)

    @property
    def is_full(self) -> bool:
        """Whether it may concern any card: only one such run goes at a time."""
        return self.kind is not Kind.CARDS

    @property
    def wallets(self) -> list[Wallet]:
        """The configured wallets that it may concern."""
        return [wallet for alias, wallet in get_wallets().items() if self.wallet in ("", alias)]

    @property
    def is_whole(self) -> bool:
        """Whether it is about all cards, so that what came of it can be said of the shop."""
        return self.kind in (Kind.DUE, Kind.ALL) and not (self.program or self.wallet)

    def checked(self) -> Self:
        """Return the selection if what it names exists. Raises SelectionError."""
        if self.wallet and self.wallet not in get_wallets():
            known = ", ".join(get_wallets()) or "none"
            raise SelectionError(f"No wallet {self.wallet!r} is configured. Configured: {known}.")
        if self.program and not WalletPass.objects.filter(program_key=self.program).exists():
            raise SelectionError(f"No pass belongs to a program {self.program!r}.")
        if self.kind is Kind.RUN and not (
            self.run_id and SyncRun.objects.filter(pk=self.run_id).exists()
        ):
            raise SelectionError(f"There is no run {self.run_id}.")
        return self

    def mark_due(self, *, is_forced: bool = False) -> None:
        """Touch what a person or a moment asks for; what is due already needs no mark.

        `is_forced` has the selected passes sent even where nothing seems to have changed.
        """
        wallets = [self.wallet] if self.wallet else None
        match self.kind:
            case Kind.CARDS:
                mark_due(self.cards, wallets=wallets, priority=WalletPass.Priority.ASKED)
            case Kind.SINCE:
                mark_due(self._changed_keys(), wallets=wallets)
            case Kind.RUN:
                for scope in self.scopes():
                    WalletPass.objects.filter(scope).set_aside().touch()
            case Kind.ALL:
                WalletPass.objects.filter(self._narrowing()).exclude(
                    state=WalletPass.State.SET_ASIDE
                ).touch()
        if is_forced:
            for scope in self.scopes():
                # A new revision: who holds the pass does not settle this order with an older one.
                WalletPass.objects.due().filter(scope).update(
                    is_forced=True, desired_revision=F("desired_revision") + 1
                )

    def scopes(self) -> Iterator[Q]:
        """Yield conditions that together hold for the selected passes, due or not."""
        narrowing = self._narrowing()
        match self.kind:
            case Kind.CARDS:
                yield from (narrowing & Q(card_key__in=chunk) for chunk in in_chunks(self.cards))
            case Kind.SINCE:
                yield from (
                    narrowing & Q(card_key__in=chunk)
                    for chunk in in_chunks(dict.fromkeys(self._changed_keys()))
                )
            case Kind.RUN:
                failures = SyncFailure.objects.open().filter(run=self.run_id)
                yield narrowing & Q(pk__in=failures.values("wallet_pass"))
            case Kind.FAILED:
                yield narrowing & ~Q(last_code="")
            case _:
                yield narrowing

    def _narrowing(self) -> Q:
        condition = Q()
        if self.program:
            condition &= Q(program_key=self.program)
        if self.wallet:
            condition &= Q(wallet=self.wallet)
        return condition

    def _changed_keys(self) -> Iterable[str]:
        if self.since is None:
            raise SelectionError("A selection of changes needs the moment since when.")
        return get_card_source().changed_since(self.since)
