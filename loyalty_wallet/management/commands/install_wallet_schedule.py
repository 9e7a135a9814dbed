from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError, CommandParser

CONFIGURATION = 3


class Command(BaseCommand):
    help = (
        "Schedule the hourly sync with django-celery-beat. "
        "Running it again changes nothing, nor does it overwrite what an operator has changed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--watch",
            action="store_true",
            help=(
                "also check the alarms and resume dead runs every minute, "
                "remove old history every night, and audit what Google has every week"
            ),
        )

    def handle(self, **options: Any) -> None:
        if find_spec("django_celery_beat") is None or not apps.is_installed("django_celery_beat"):
            raise CommandError(
                "Install loyalty-wallet[celery] and add 'django_celery_beat' to INSTALLED_APPS; "
                "or let cron run: manage.py sync_wallet_passes",
                returncode=CONFIGURATION,
            )
        from ...schedule import install_schedule, install_watch

        entries = [install_schedule()]
        if options["watch"]:
            entries += install_watch()
        for entry, is_new in entries:
            if is_new:
                self.stdout.write(f"Scheduled {entry.task}: {entry.scheduler}.")
            else:
                state = "enabled" if entry.enabled else "disabled"
                self.stdout.write(f"Left as it is: {entry.name} ({entry.scheduler}, {state}).")
