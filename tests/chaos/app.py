"""Shortens what is measured in minutes, and turns guards off for the negative control."""

from __future__ import annotations

import os
from datetime import datetime, timedelta

from django.apps import AppConfig
from django.utils import timezone

RUN_LEASE_SECONDS = float(os.environ.get("CHAOS_RUN_LEASE_SECONDS", "3"))
HEARTBEAT_SECONDS = 0.5
LEASE_MARGIN_SECONDS = 0.5


class ChaosConfig(AppConfig):
    name = "tests.chaos"

    def ready(self) -> None:
        from loyalty_wallet import conf, registry
        from loyalty_wallet.sync import runs
        from loyalty_wallet.sync.pump import delivery, engine

        # The floor of 30 s is there for people; the code works with any length.
        conf._RULES[:] = [rule for rule in conf._RULES if rule[0] != "lease_seconds"]
        vars(runs)["LEASE_SECONDS"] = RUN_LEASE_SECONDS
        vars(engine)["HEARTBEAT_SECONDS"] = HEARTBEAT_SECONDS
        for module in (conf, registry, delivery):
            vars(module)["LEASE_MARGIN_SECONDS"] = LEASE_MARGIN_SECONDS
        if shift := float(os.environ.get("CHAOS_CLOCK_SHIFT_SECONDS", "0")):
            set_the_clock_wrong(shift)
        if os.environ.get("CHAOS_GUARDS") == "off":
            from . import unguarded

            unguarded.apply()


def set_the_clock_wrong(seconds: float) -> None:
    """Let the wall clock that Django and the app read be so much ahead."""
    right = timezone.now

    def now() -> datetime:
        return right() + timedelta(seconds=seconds)

    vars(timezone)["now"] = now
