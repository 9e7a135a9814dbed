"""System checks: what is wrong with the settings, and the command or edit that mends it.

They touch neither the network nor the database.
"""

from __future__ import annotations

from django.core.checks import Tags
from django.core.checks import register as register_check

from . import deployment, settings

TAG = "loyalty_wallet"

__all__ = ["TAG", "register"]


def register() -> None:
    """Let `manage.py check` run these checks, and with `--deploy` those of a server as well."""
    for check in settings.CHECKS:
        register_check(check, TAG)
    for check in deployment.CHECKS:
        register_check(check, TAG, Tags.security, deploy=True)
