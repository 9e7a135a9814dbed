"""From a claimed row to what its provider should have, and whether that is news.

Rendered after the claim, never from a message: what is delivered is what the card shows now.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import InterfaceError, OperationalError
from django.utils import timezone

from ..cards import Program
from ..conf import get_conf
from ..exceptions import DeliveryError, InvalidCardError, KilledWorkerError
from ..models import WalletProgram
from ..sources import get_card_source
from ..wallets.base import (
    PassUpdate,
    Payload,
    ProgramUpdate,
    Wallet,
    canonical_json,
    fingerprint,
)
from .jobs import Job, JobOutcome
from .leases import KILLER_AFTER, ClaimedPass, Lease

logger = logging.getLogger("loyalty_wallet.sync")


@dataclass(slots=True, kw_only=True)
class RenderedProgram:
    """A program as this run delivers it to one wallet."""

    update: ProgramUpdate
    fingerprint: str
    delivered: Payload


class Renderer:
    """Makes the jobs of one wallet; remembers its programs for the length of a run."""

    def __init__(self, wallet: Wallet, *, notify: bool = False) -> None:
        self._wallet = wallet
        self._notify = notify
        self._recreate_missing = get_conf().recreate_missing
        self._programs: dict[str, RenderedProgram | DeliveryError] = {}

    def render(self, lease: Lease, rows: Sequence[ClaimedPass]) -> list[Job]:
        """Return a job for each row; the ones that need no delivery have their outcome already.

        Whatever goes wrong with one card is that job's failure.
        """
        found = self._load(rows)
        jobs = []
        for row in rows:
            job = Job(row=row, lease=lease, program_key=row.program_key, card_label=row.card_label)
            source_row = found.get(row.card_key)
            if row.takeovers >= KILLER_AFTER:
                job.finish(JobOutcome.FAILED, _killer(row))
            elif isinstance(source_row, Exception):
                job.finish(JobOutcome.FAILED, unreadable(source_row))
            elif source_row is None:
                # The card is gone: there is nothing left that the phone could show.
                job.finish(JobOutcome.SKIPPED)
            else:
                self._render(job, source_row)
            jobs.append(job)
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

    def _render(self, job: Job, source_row: Any) -> None:
        row = job.row
        try:
            card = get_card_source().to_card(source_row)
            if self._wallet.alias not in card.program.wallets:
                job.finish(JobOutcome.SKIPPED)
                return
            job.program_key = card.program.key
            job.card_label = card.label[:200]
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
            logger.exception("The card %s could not be rendered.", row.card_key)
            job.finish(JobOutcome.FAILED, unreadable(error))
            return
        # After a takeover somebody's request may have landed that nobody recorded.
        may_have_landed = row.takeovers and not self._wallet.is_published
        is_certain = not (row.is_forced or may_have_landed)
        is_changed = not (is_certain and job.fingerprint == row.fingerprint)
        job.update = PassUpdate(
            remote_id=row.remote_id,
            payload=payload,
            body=body,
            program=program.update,
            is_changed=is_changed,
            may_create=self._recreate_missing or row.synced_at is None,
            notify=self._notify,
        )
        if not (is_changed or program.update.is_changed):
            job.finish(JobOutcome.UNCHANGED)

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
