"""From a claimed row to what its provider should have, and whether that is news.

Rendered after the claim, never from a message: what is delivered is what the card shows now.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db import InterfaceError, OperationalError
from django.utils import timezone

from ...cards import Card, Program
from ...conf import get_conf
from ...exceptions import DeliveryError, InvalidCardError, KilledWorkerError
from ...models import WalletPass, WalletProgram
from ...redaction import redact
from ...sources import get_card_source
from ...wallets.base import (
    PassUpdate,
    Payload,
    ProgramUpdate,
    Wallet,
    canonical_json,
    fingerprint,
)
from ..census import Census
from ..erasure import erased_among
from ..leases import KILLER_AFTER, ClaimedPass, Lease
from ..phones.notifications import silence_who_had_enough
from .jobs import Job, JobOutcome

logger = logging.getLogger("loyalty_wallet.sync")


@dataclass(slots=True, kw_only=True)
class RenderedProgram:
    """A program as this run delivers it to one wallet."""

    update: ProgramUpdate
    fingerprint: str
    delivered: Payload


class Renderer:
    """Makes the jobs of one wallet; remembers its programs for the length of a run.

    With `notify` customers are told of each change; else of balances that rise, in real time and
    where their program says so.
    """

    def __init__(self, wallet: Wallet, *, notify: bool = False, is_real_time: bool = False) -> None:
        self._wallet = wallet
        self._notify = notify
        self._is_real_time = is_real_time
        self._recreate_missing = get_conf().recreate_missing
        self._programs: dict[str, RenderedProgram | DeliveryError] = {}
        self._census = Census(wallet.alias)

    def render(self, lease: Lease, rows: Sequence[ClaimedPass]) -> list[Job]:
        """Return a job for each row; the ones that need no delivery have their outcome already.

        Whatever goes wrong with one card is that job's failure.
        """
        erased = erased_among({row.card_key for row in rows})
        found = self._load([row for row in rows if row.card_key not in erased])
        blank = [row for row in rows if row.card_key in erased or row.card_key not in found]
        delivered = _delivered_payloads(rows if self._is_real_time else blank)
        is_gone_for_certain = self._census.take(
            present=found, gone=[row for row in blank if row.card_key not in erased]
        )
        jobs = []
        for row in rows:
            job = Job(row=row, lease=lease, program_key=row.program_key, card_label=row.card_label)
            source_row = found.get(row.card_key)
            if row.takeovers >= KILLER_AFTER:
                job.finish(JobOutcome.FAILED, _killer(row))
            elif isinstance(source_row, Exception):
                job.finish(JobOutcome.FAILED, unreadable(source_row))
            elif row.card_key in erased:
                job.is_erasure = True
                self._render_blank(job, delivered.get(row.pk, {}))
            elif source_row is None:
                # The card is gone: there is nothing left that the phone could show.
                if is_gone_for_certain or row.state == WalletPass.State.VOIDED:
                    self._render_blank(job, delivered.get(row.pk, {}))
                else:
                    job.finish(JobOutcome.FAILED, self._census.doubt)
            else:
                self._render(job, source_row, delivered.get(row.pk, {}))
            jobs.append(job)
        silence_who_had_enough(jobs)
        return jobs

    def remember_delivered_programs(self, jobs: Iterable[Job]) -> None:
        """Write down the programs that these delivered jobs have brought up to date."""
        for job in jobs:
            rendered = self._programs.get(job.program_key)
            if (
                isinstance(rendered, RenderedProgram)
                and rendered.update.is_changed
                and job.outcome is not None
                and job.outcome.is_success
                and job.update is not None
                and job.update.program is rendered.update
            ):
                WalletProgram.objects.update_or_create(
                    program_key=job.program_key,
                    wallet=self._wallet.alias,
                    defaults={
                        "remote_id": rendered.update.remote_id,
                        "fingerprint": rendered.fingerprint,
                        "payload": dict(rendered.update.payload),
                        "synced_at": timezone.now(),
                    },
                )
                rendered.update = replace(rendered.update, is_known=True, is_changed=False)

    def _load(self, rows: Sequence[ClaimedPass]) -> dict[str, Any]:
        source = get_card_source()
        keys = [row.card_key for row in rows]
        try:
            return {source.key_for(found): found for found in source.rows_for(keys)}
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:
            logger.exception("The card source could not read a batch of cards.")
            return dict.fromkeys(keys, error)

    def _render(self, job: Job, source_row: Any, delivered: Payload) -> None:
        row = job.row
        try:
            card = get_card_source().to_card(source_row)
            if self._wallet.alias not in card.program.wallets:
                job.finish(JobOutcome.SKIPPED)
                return
            job.program_key = card.program.key
            job.card_label = card.label[:200]
            card = as_of_now(card)
            job.expires_at = None if card.has_expired else card.expires_at
            program = self._program(card.program)
            payload = self._wallet.render(
                card, remote_id=row.remote_id, program_id=program.update.remote_id
            )
            body = canonical_json(payload)
            job.fingerprint = fingerprint(body)
        except DeliveryError as error:
            job.finish(JobOutcome.FAILED, error)
            return
        except (OperationalError, InterfaceError):
            # The database is in trouble, not the card.
            raise
        except Exception as error:
            logger.exception("The card %s could not be rendered.", redact(row.card_key))
            job.finish(JobOutcome.FAILED, unreadable(error))
            return
        is_changed = self._is_changed(job)
        job.update = PassUpdate(
            remote_id=row.remote_id,
            payload=payload,
            body=body,
            program=program.update,
            is_changed=is_changed,
            may_create=self._recreate_missing or row.synced_at is None,
            notify=self._wallet.can_notify
            and (
                self._notify
                or (
                    self._is_real_time
                    and card.program.notifies
                    and self._wallet.has_risen(delivered, payload)
                )
            ),
        )
        if not (is_changed or program.update.is_changed):
            job.finish(JobOutcome.UNCHANGED)

    def _render_blank(self, job: Job, delivered: Payload) -> None:
        row = job.row
        job.card_label = ""
        program_id = known_program_id(self._wallet, row.program_key)
        try:
            payload = self._wallet.render_blank(
                delivered, remote_id=row.remote_id, program_id=program_id
            )
        except DeliveryError as error:
            job.finish(JobOutcome.FAILED, error)
            return
        body = canonical_json(payload)
        job.fingerprint = fingerprint(body)
        is_changed = self._is_changed(job)
        job.update = PassUpdate(
            remote_id=row.remote_id,
            payload=payload,
            body=body,
            # Nothing is made for who is gone: neither the pass nor its program.
            program=ProgramUpdate(
                remote_id=program_id, payload={}, is_known=True, is_changed=False
            ),
            is_changed=is_changed,
            may_create=False,
            is_blank=True,
        )
        if not is_changed:
            job.finish(JobOutcome.UNCHANGED)

    def _is_changed(self, job: Job) -> bool:
        """Say whether the provider may have something else than what was rendered."""
        row = job.row
        # After a takeover somebody's request may have landed that nobody recorded.
        may_have_landed = row.takeovers and not self._wallet.is_published
        is_certain = not (row.is_forced or may_have_landed)
        return not (is_certain and job.fingerprint == row.fingerprint)

    def _program(self, program: Program) -> RenderedProgram:
        rendered = self._programs.get(program.key)
        if rendered is None:
            try:
                rendered = render_program(self._wallet, program)
            except DeliveryError as error:
                rendered = error
            self._programs[program.key] = rendered
        if isinstance(rendered, DeliveryError):
            raise rendered
        return rendered


def as_of_now(card: Card) -> Card:
    """Return the card as it is at this moment: it may have expired."""
    has_expired = card.expires_at is not None and _is_past(card.expires_at)
    return card if has_expired == card.has_expired else replace(card, has_expired=has_expired)


def _is_past(moment: datetime) -> bool:
    # What has no zone is refused by the wallets, by name.
    return moment.tzinfo is not None and moment <= timezone.now()


def _delivered_payloads(rows: Sequence[ClaimedPass]) -> dict[int, Any]:
    if not rows:
        return {}
    passes = WalletPass.objects.filter(pk__in=[row.pk for row in rows])
    return dict(passes.values_list("pk", "payload"))


def known_program_id(wallet: Wallet, program_key: str) -> str:
    """Return the provider's id of a program that was delivered, or the one it would get."""
    known = WalletProgram.objects.filter(program_key=program_key, wallet=wallet.alias)
    remote_id = known.values_list("remote_id", flat=True).first()
    return remote_id or wallet.program_id(program_key)


def render_program(wallet: Wallet, program: Program) -> RenderedProgram:
    """Return the program as the wallet should have it. Raises DeliveryError."""
    known = WalletProgram.objects.filter(program_key=program.key, wallet=wallet.alias).first()
    remote_id = known.remote_id if known else wallet.program_id(program.key)
    payload = wallet.render_program(program, program_id=remote_id)
    current = fingerprint(canonical_json(payload))
    update = ProgramUpdate(
        remote_id=remote_id,
        payload=payload,
        is_known=known is not None,
        is_changed=known is None or known.fingerprint != current,
    )
    return RenderedProgram(
        update=update, fingerprint=current, delivered=known.payload if known else {}
    )


def _killer(row: ClaimedPass) -> KilledWorkerError:
    return KilledWorkerError(f"Its worker died {row.takeovers} times while it held this pass.")


def unreadable(error: Exception) -> InvalidCardError:
    """Return the failure of a card that the shop's own code could not give us."""
    return InvalidCardError(f"The card source failed: {type(error).__name__}: {error}")
