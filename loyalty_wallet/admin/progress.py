"""How far a run has come, for the page that watches it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..exceptions import SelectionError
from ..models import SyncRun, WalletPass
from ..registry import get_wallets
from ..sync.pump.backlog import Backlog
from ..sync.selection import Kind, Selection
from . import words

_OUTCOMES = ("created", "updated", "unchanged", "failed", "deferred")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunProgress:
    """The passes that a run has recorded so far, and those that still wait for it."""

    run: SyncRun
    done: int
    failed: int
    left: int | None
    """None where it cannot be told, or not cheaply."""

    @classmethod
    def of_run(cls, run: SyncRun) -> RunProgress:
        totals: Counter[str] = Counter()
        for counts in run.batches.values_list("counts", flat=True):
            totals.update(counts)
        return cls(
            run=run,
            done=sum(totals[name] for name in _OUTCOMES),
            failed=totals["failed"] + totals["deferred"],
            left=_left(run),
        )

    @property
    def is_over(self) -> bool:
        return not is_going(self.run)

    @property
    def percent(self) -> int | None:
        """The share that is done, rounded down; None where nobody knows how much is left."""
        if self.left is None or not self.done + self.left:
            return None
        return 100 * self.done // (self.done + self.left)

    @property
    def text(self) -> str:
        """How far it is, in words."""
        if self.run.status == SyncRun.Status.QUEUED:
            waits = _("Waiting for a worker for %(age)s.")
            return waits % {"age": words.age(self.run.created_at)}
        parts = [
            ngettext("%(count)d pass done", "%(count)d passes done", self.done)
            % {"count": self.done},
            _("%(count)d failed") % {"count": self.failed},
        ]
        if self.left is not None:
            parts.append(_("%(count)d left") % {"count": self.left})
        if seconds := self._seconds_left():
            parts.append(_("about %(duration)s to go") % {"duration": words.about(seconds)})
        if self.run.cancel_requested_at is not None and not self.is_over:
            parts.append(_("told to stop"))
        return ", ".join(parts)

    def as_json(self) -> dict[str, object]:
        return {
            "is_over": self.is_over,
            "status": words.run_word(self.run),
            "text": self.text,
            "percent": self.percent,
        }

    def _seconds_left(self) -> float | None:
        if self.is_over or self.run.started_at is None or not (self.done and self.left):
            return None
        seconds = (timezone.now() - self.run.started_at).total_seconds()
        return seconds * self.left / self.done


def is_going(run: SyncRun) -> bool:
    """Say whether a run is queued or running, as far as anybody has written down."""
    return run.status in (SyncRun.Status.QUEUED, SyncRun.Status.RUNNING)


def _left(run: SyncRun) -> int | None:
    """Count what is due and not yet tried by this run, in its selection."""
    try:
        selection = Selection.from_json(run.selection)
        if selection.kind is Kind.SINCE:
            # The card source would have to look through all changes again, every other second.
            return None
        aliases = [alias for alias in get_wallets() if selection.wallet in ("", alias)]
    except (ImproperlyConfigured, SelectionError):
        return None
    backlog = Backlog(selection.scopes, run)
    due = WalletPass.objects.due()
    return sum(due.filter(scope).count() for alias in aliases for scope in backlog.scopes(alias))
