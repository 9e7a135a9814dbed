"""A page of what a provider has beside our table, and what of the table no page has shown."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import router, transaction
from django.db.models import QuerySet

from ...models import DatabaseNow, WalletPass
from ...wallets.base import Wallet
from ..erasure import erase_again
from ..phones.presence import note_has_users
from .findings import Finding, FindingKind, Findings
from .listing import ListedPage
from .marks import Marks

CHUNK_SIZE = 1000
RECENT_SECONDS = 10
"""What was delivered so shortly before it was asked for may not show in a list yet."""


class _Row(NamedTuple):
    pk: int
    remote_id: str
    card_key: str
    program_key: str
    due_at: datetime | None
    synced_at: datetime | None
    now: datetime
    payload: Any = None


class Comparison:
    """Compares one wallet's passes; what differs becomes due again if it `is_fixing`."""

    def __init__(self, wallet: Wallet, findings: Findings, *, is_fixing: bool) -> None:
        self._wallet = wallet
        self._findings = findings
        self._is_fixing = is_fixing
        self._marks = Marks()
        self._started_at = time.monotonic()
        self._using = router.db_for_write(WalletPass)

    def take(self, listed: ListedPage) -> None:
        """Compare a page with what was delivered."""
        counts = self._findings.counts
        found = {remote.remote_id: remote for remote in listed.page.passes}
        ours = self._passes().filter(remote_id__in=list(found)).annotate(now=DatabaseNow())
        rows = {row[1]: _Row(*row) for row in ours.values_list(*_Row._fields)}
        different: list[int] = []
        held: list[int] = []
        free: list[int] = []
        for remote_id, remote in found.items():
            row = rows.get(remote_id)
            if row is None:
                counts["objects"] += 1
                self._note(FindingKind.UNKNOWN, remote_id, listed.program_key)
                continue
            if row.pk in self._marks:
                # Lists may show a pass twice when others are added meanwhile.
                continue
            counts["objects"] += 1
            self._marks.add(row.pk)
            if remote.has_users is not None:
                (held if remote.has_users else free).append(row.pk)
            if row.due_at is not None:
                counts["due"] += 1
            elif _is_recent(row, listed.asked_at):
                counts["recent"] += 1
            elif fields := self._wallet.differing_fields(row.payload, remote.payload):
                self._note(FindingKind.DIFFERENT, remote_id, row.program_key, row.card_key, fields)
                different.append(row.pk)
            else:
                counts["equal"] += 1
        self._fix(different)
        note_has_users(held, free, source=WalletPass.PresenceSource.AUDIT, using=self._using)

    def find_missing(self, program_keys: Sequence[str]) -> Iterator[None]:
        """Go through all passes of these programs that should have been on a page.

        Stops after every chunk, for the caller to show that it is alive.
        """
        last = 0
        delivered = (
            self._passes()
            .filter(program_key__in=program_keys, synced_at__isnull=False)
            .exclude(payload={})
            # What is to be blank is right where it is not there at all.
            .exclude(state__in=(WalletPass.State.VOIDED, WalletPass.State.ERASED))
            .order_by("pk")
            .annotate(now=DatabaseNow())
            .values_list(*_Row._fields[:-1])
        )
        while rows := [_Row(*row) for row in delivered.filter(pk__gt=last)[:CHUNK_SIZE]]:
            missing = []
            for row in rows:
                if row.pk in self._marks:
                    continue
                if row.due_at is not None:
                    self._findings.counts["due"] += 1
                elif _is_recent(row, self._started_at):
                    self._findings.counts["recent"] += 1
                else:
                    self._note(FindingKind.MISSING, row.remote_id, row.program_key, row.card_key)
                    missing.append(row.pk)
            self._fix(missing)
            last = rows[-1].pk
            yield

    def _note(
        self,
        kind: FindingKind,
        remote_id: str,
        program_key: str,
        card_key: str = "",
        fields: Sequence[str] = (),
    ) -> None:
        self._findings.add(
            Finding(
                kind=kind,
                remote_id=remote_id,
                program_key=program_key,
                card_key=card_key,
                fields=tuple(fields),
            )
        )

    def _fix(self, pks: list[int]) -> None:
        """Let the next run send these, whatever we believe that the provider has."""
        if not (self._is_fixing and pks):
            return
        with transaction.atomic(using=self._using):
            passes = WalletPass.objects.using(self._using).filter(pk__in=pks)
            self._findings.counts["fixed"] += passes.touch() + erase_again(pks, self._using)
            passes.update(fingerprint="")

    def _passes(self) -> QuerySet[WalletPass]:
        return WalletPass.objects.using(self._using).filter(wallet=self._wallet.alias)


def _is_recent(row: _Row, since: float) -> bool:
    """Say whether a pass was delivered later than, or shortly before, a moment of our clock."""
    if row.synced_at is None:
        return False
    age = timedelta(seconds=time.monotonic() - since + RECENT_SECONDS)
    return row.synced_at > row.now - age
