"""The beat entries for django-celery-beat: the hourly sync, and what may go with it."""

from __future__ import annotations

from django_celery_beat.models import CrontabSchedule, PeriodicTask

from .sync.alarms.beat import TASK

NAME = "Sync wallet passes (hourly)"
EXPIRES_SECONDS = 55 * 60
"""A message that no worker took within the hour is dropped: the next one covers it."""

WATCH = "loyalty.resume_wallet_sync"
PRUNE = "loyalty.prune_sync_runs"
AUDIT = "loyalty.audit_wallets"


def install_schedule() -> tuple[PeriodicTask, bool]:
    """Make sure that the sync is scheduled; return its entry and whether it is new.

    An entry for the task that exists already is left as it is, whatever an operator made of it.
    A crontab rather than an interval: an interval that is restarted too often never fires.
    """
    return _install(TASK, NAME, expires_seconds=EXPIRES_SECONDS, minute="0")


def install_watch() -> list[tuple[PeriodicTask, bool]]:
    """Let alarms be checked and dead runs be resumed every minute, old history go every night,
    and what providers have be compared every week.
    """
    return [
        _install(WATCH, "Watch wallet syncs (every minute)", expires_seconds=60),
        _install(
            PRUNE,
            "Remove old wallet syncs (daily)",
            expires_seconds=12 * 60 * 60,
            minute="30",
            hour="3",
        ),
        _install(
            AUDIT,
            "Audit wallets (weekly)",
            expires_seconds=24 * 60 * 60,
            minute="15",
            hour="4",
            day_of_week="0",
        ),
    ]


def _install(
    task: str, name: str, *, expires_seconds: int, **when: str
) -> tuple[PeriodicTask, bool]:
    """Schedule a task; `when` are fields of a crontab, any that is not named matches always."""
    existing = PeriodicTask.objects.filter(task=task).order_by("pk").first()
    if existing is not None:
        return existing, False
    fields = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")
    crontab, _ = CrontabSchedule.objects.get_or_create(
        **dict.fromkeys(fields, "*") | when, timezone="UTC"
    )
    entry = PeriodicTask.objects.create(
        name=name, task=task, crontab=crontab, expire_seconds=expires_seconds
    )
    return entry, True
