"""The smallest project around the app: Django and SQLite, in which nobody has installed Celery."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

MISSING = {"celery", "django_celery_beat", "kombu", "redis"}


class NotInstalled(PathFinder):
    """Finds everything on this machine but these packages."""

    @classmethod
    def find_spec(
        cls,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] in MISSING:
            return None
        return super().find_spec(fullname, path, target)


sys.meta_path[:] = [NotInstalled if each is PathFinder else each for each in sys.meta_path]

SECRET_KEY = "of-a-test"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "loyalty_wallet",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["BARE_DATABASE"],
        "OPTIONS": {"transaction_mode": "IMMEDIATE"},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
LOYALTY_WALLET = {
    "WALLETS": {
        "google": {
            "BACKEND": "loyalty_wallet.wallets.google.GoogleWallet",
            "OPTIONS": {**json.loads(os.environ["BARE_WALLET"]), "requests_per_second": None},
        }
    }
}
