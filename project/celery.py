"""The Celery application: `celery -A project worker`, `celery -A project beat`."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from django.core.exceptions import ImproperlyConfigured
from kombu import Connection

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")


class ProjectCelery(Celery):
    """Celery with the broker that the settings name, and with no other.

    Left alone, it would look for RabbitMQ on this machine and may put messages in a stranger's.
    """

    def connection_for_read(self, url: str | None = None, **kwargs: Any) -> Connection:
        self._require_broker(url)
        return super().connection_for_read(url, **kwargs)

    def connection_for_write(self, url: str | None = None, **kwargs: Any) -> Connection:
        self._require_broker(url)
        return super().connection_for_write(url, **kwargs)

    def _require_broker(self, url: str | None) -> None:
        if not (url or self.conf.broker_url):
            raise ImproperlyConfigured("There is no broker: set REDIS_URL, as in redis://HOST/0.")


app = ProjectCelery("project")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
