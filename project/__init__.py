"""The reference project: loyalty_wallet with Celery, configured from the environment."""

from __future__ import annotations

from importlib.util import find_spec

# `manage.py` and a web server also work where Celery is not installed.
if find_spec("celery") is not None:
    from project.celery import app as celery_app

    __all__ = ["celery_app"]
