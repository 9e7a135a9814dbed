"""The hourly schedule."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django_celery_beat.models import PeriodicTask
from pytest_django import Settings

from loyalty_wallet.tasks import (
    audit_wallets_task,
    prune_sync_runs,
    resume_wallet_sync,
    sync_wallet_passes,
)

pytestmark = pytest.mark.django_db


def install(*args: str) -> str:
    stdout = StringIO()
    call_command("install_wallet_schedule", *args, stdout=stdout)
    return stdout.getvalue()


def test_it_schedules_the_task_hourly() -> None:
    """On the hour, and a message that nobody took within the hour is dropped."""
    install()
    entry = PeriodicTask.objects.get(task="loyalty.sync_wallet_passes")
    assert entry.enabled
    assert entry.crontab is not None
    assert (entry.crontab.minute, entry.crontab.hour) == ("0", "*")
    assert entry.expire_seconds is not None
    assert entry.expire_seconds < 3600


def test_a_second_time_changes_nothing() -> None:
    """It is idempotent, and says so."""
    install()
    before = PeriodicTask.objects.values().get()
    assert "Left as it is" in install()
    assert PeriodicTask.objects.values().get() == before


def test_what_an_operator_changed_stays() -> None:
    """A renamed, disabled entry with another schedule is left alone."""
    install()
    entry = PeriodicTask.objects.get()
    entry.name, entry.enabled, entry.expire_seconds = "Ours", False, 60
    entry.save()

    assert "disabled" in install()

    entry.refresh_from_db()
    assert (entry.name, entry.enabled, entry.expire_seconds) == ("Ours", False, 60)
    assert PeriodicTask.objects.count() == 1


def test_watching_is_scheduled_on_demand() -> None:
    """--watch: alarms, dead runs, old history, what Google has; twice changes nothing."""
    install("--watch")
    entries = {
        entry.task: (entry.crontab.day_of_week, entry.crontab.hour, entry.crontab.minute)
        for entry in PeriodicTask.objects.all()
        if entry.crontab is not None
    }
    assert entries == {
        "loyalty.sync_wallet_passes": ("*", "*", "0"),
        "loyalty.resume_wallet_sync": ("*", "*", "*"),
        "loyalty.prune_sync_runs": ("*", "3", "30"),
        "loyalty.audit_wallets": ("0", "4", "15"),
    }
    tasks = (sync_wallet_passes, resume_wallet_sync, prune_sync_runs, audit_wallets_task)
    assert {task.name for task in tasks} == set(entries)
    assert install("--watch").count("Left as it is") == 4
    assert PeriodicTask.objects.count() == 4


def test_without_beat_it_says_what_to_install(settings: Settings) -> None:
    """A project without django-celery-beat is pointed to it, and to cron."""
    settings.INSTALLED_APPS = [
        app for app in settings.INSTALLED_APPS if app != "django_celery_beat"
    ]
    with pytest.raises(CommandError, match="cron") as ended:
        install()
    assert ended.value.returncode == 3
