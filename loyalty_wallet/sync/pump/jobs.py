"""One pass on its way through a run, from its claim to its record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ...exceptions import DeferredError, DeliveryError
from ...wallets.base import PassUpdate
from ..leases import ClaimedPass, Lease


class JobOutcome(StrEnum):
    """How a job ended. The first five are counted in batches and reports."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    DEFERRED = "deferred"
    SKIPPED = "skipped"
    """The card's program no longer uses the wallet: nothing to bring up to date."""
    RELEASED = "released"
    """Not tried, or not ours any more: the pass stays due."""

    @property
    def is_success(self) -> bool:
        return self in (JobOutcome.CREATED, JobOutcome.UPDATED, JobOutcome.UNCHANGED)

    @property
    def is_counted(self) -> bool:
        return self not in (JobOutcome.SKIPPED, JobOutcome.RELEASED)


@dataclass(slots=True, eq=False, kw_only=True)
class Job:
    """A claimed pass, what it should become, and what came of it."""

    row: ClaimedPass
    lease: Lease
    update: PassUpdate | None = None
    fingerprint: str = ""
    program_key: str = ""
    card_label: str = ""
    expires_at: datetime | None = None
    """When the card expires, unless it has."""
    is_erasure: bool = False
    """The card is erased from the wallets: what is delivered is a blank pass."""
    is_muted: bool = False
    """The customer was to be notified, and had been often enough."""
    attempts: int = 0
    requests: int = 0
    outcome: JobOutcome | None = None
    error: DeliveryError | None = None
    is_recorded: bool = False
    """What came of it is in the tables; never so when our lease on the pass was lost."""

    @property
    def body(self) -> str:
        """The payload's JSON."""
        return "{}" if self.update is None else self.update.body.decode()

    @property
    def is_blank(self) -> bool:
        """Nothing of the customer is left in what is delivered: the card is gone, or erased."""
        return self.update is not None and self.update.is_blank

    @property
    def was_muted(self) -> bool:
        """The update came in silence, though the customer was to be notified."""
        return self.is_muted or (self.update is not None and self.update.answer.was_muted)

    @property
    def failure(self) -> DeliveryError:
        """The error of a job that ended without success."""
        return self.error or DeferredError("The run ended before the pass was tried.")

    @property
    def is_published(self) -> bool:
        """What phones may fetch is on record already; the requests only told them so."""
        return self.update is not None and self.update.published_at > 0

    @property
    def is_remote_uncertain(self) -> bool:
        """A request, ours or a dead worker's, may have landed: no success came back."""
        has_sent = self.requests > 0 or self.row.takeovers > 0
        has_succeeded = self.outcome is not None and self.outcome.is_success
        return has_sent and not has_succeeded and not self.is_published

    def finish(self, outcome: JobOutcome, error: DeliveryError | None = None) -> None:
        self.outcome = outcome
        self.error = error or self.error
