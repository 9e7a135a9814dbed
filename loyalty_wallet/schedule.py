"""The hourly beat entry for django-celery-beat."""

from __future__ import annotations

from django_celery_beat.models import CrontabSchedule, PeriodicTask

TASK = "loyalty.sync_wallet_passes"
NAME = "Sync wallet passes (hourly)"
EXPIRES_SECONDS = 55 * 60
"""A message that no worker took within the hour is dropped: the next one covers it."""


def install_schedule() -> tuple[PeriodicTask, bool]:
    """Make sure that the sync is scheduled; return its entry and whether it is new.

    An entry for the task that exists already is left as it is, whatever an operator made of it.
    A crontab rather than an interval: an interval that is restarted too often never fires.
    """
    existing = PeriodicTask.objects.filter(task=TASK).order_by("pk").first()
    if existing is not None:
        return existing, False
    hourly, _ = CrontabSchedule.objects.get_or_create(
        minute="0",
        hour="*",
        day_of_week="*",
        day_of_month="*",
        month_of_year="*",
        timezone="UTC",
    )
    entry = PeriodicTask.objects.create(
        name=NAME, task=TASK, crontab=hourly, expire_seconds=EXPIRES_SECONDS
    )
    return entry, True
