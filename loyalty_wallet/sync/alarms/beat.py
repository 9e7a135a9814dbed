"""When the sync runs next, as django-celery-beat has it; cron leaves no trace here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from django.apps import apps
from django.utils import timezone

TASK = "loyalty.sync_wallet_passes"
MOST_GAPS = 24
"""Firings looked at for the longest pause: a schedule may rest at night."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The beat entry of the sync. `has_beat` says whether django-celery-beat is installed."""

    has_beat: bool = False
    is_installed: bool = False
    is_enabled: bool = False
    description: str = ""
    interval_seconds: float | None = None
    """The longest pause between two runs; None when that cannot be told."""
    last_run_at: datetime | None = None
    next_run_at: datetime | None = None

    def expected_seconds(self, run_interval: timedelta) -> float:
        """How often a run is expected: the longest pause of an enabled entry, or else RUN_INTERVAL."""
        is_known = self.is_enabled and self.interval_seconds
        return self.interval_seconds or 0 if is_known else run_interval.total_seconds()


def read_schedule() -> Schedule:
    """Return the entry for the sync, an enabled one if there are several."""
    if not apps.is_installed("django_celery_beat"):
        return Schedule()
    from django_celery_beat.models import PeriodicTask

    entry = (
        PeriodicTask.objects.filter(task=TASK)
        .select_related("interval", "crontab", "solar", "clocked")
        .order_by("-enabled", "pk")
        .first()
    )
    if entry is None:
        return Schedule(has_beat=True)
    interval, next_run_at = _rhythm(entry)
    return Schedule(
        has_beat=True,
        is_installed=True,
        is_enabled=entry.enabled,
        description=str(entry.scheduler),
        interval_seconds=interval,
        last_run_at=entry.last_run_at,
        next_run_at=next_run_at if entry.enabled else None,
    )


def _rhythm(entry: Any) -> tuple[float | None, datetime | None]:
    """Return the longest pause in seconds, and the next run."""
    now = timezone.now()
    if entry.interval is not None:
        every: timedelta = entry.schedule.run_every
        last_run_at = entry.last_run_at or now
        return every.total_seconds(), max(now, last_run_at + every)
    if entry.crontab is None:
        return None, None
    firings = [_firing_after(entry.schedule, now)]
    for _ in range(MOST_GAPS):
        firings.append(_firing_after(entry.schedule, firings[-1]))
    gaps = (later - earlier for earlier, later in pairwise(firings))
    return max(gaps).total_seconds(), firings[0]


def _firing_after(crontab: Any, moment: datetime) -> datetime:
    start, ends_in, _ = crontab.remaining_delta(moment.astimezone(crontab.tz))
    firing: datetime = start + ends_in
    return firing
