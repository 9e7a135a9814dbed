from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError

CONFIGURATION = 3


class Command(BaseCommand):
    help = (
        "Schedule the hourly sync with django-celery-beat. "
        "Running it again changes nothing, nor does it overwrite what an operator has changed."
    )

    def handle(self, **options: Any) -> None:
        if find_spec("django_celery_beat") is None or not apps.is_installed("django_celery_beat"):
            raise CommandError(
                "Install loyalty-wallet[celery] and add 'django_celery_beat' to INSTALLED_APPS; "
                "or let cron run: manage.py sync_wallet_passes",
                returncode=CONFIGURATION,
            )
        from ...schedule import install_schedule

        entry, is_new = install_schedule()
        if is_new:
            self.stdout.write(f"Scheduled {entry.task}: {entry.scheduler}.")
        else:
            state = "enabled" if entry.enabled else "disabled"
            self.stdout.write(f"Left as it is: {entry.name} ({entry.scheduler}, {state}).")
