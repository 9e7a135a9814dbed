"""The reference project for worker processes of the chaos tests, with leases of seconds.

A lease lasts minutes in production, and a test cannot wait for one to end. What has no setting, or
one with a floor, is patched by `tests.chaos.app` when Django starts, so that the code under test is
otherwise the very code of production. `CHAOS_LOYALTY_WALLET` and `CHAOS_WALLET_OPTIONS` are JSON
objects that go over LOYALTY_WALLET and over the OPTIONS of the Google wallet.
"""

from __future__ import annotations

import json
import os

from project.settings import *  # noqa: F403
from project.settings import CELERY_BROKER_TRANSPORT_OPTIONS as PROJECT_TRANSPORT
from project.settings import INSTALLED_APPS as PROJECT_APPS
from project.settings import LOYALTY_WALLET as PROJECT_WALLETS

INSTALLED_APPS = [*PROJECT_APPS, "tests.chaos.app.ChaosConfig"]

LOYALTY_WALLET = {
    **PROJECT_WALLETS,
    "LEASE_SECONDS": 4,
    "RETRY_DELAYS": [0.05, 0.1, 0.2],
    **json.loads(os.environ.get("CHAOS_LOYALTY_WALLET", "{}")),
}
if visibility_timeout := os.environ.get("CHAOS_VISIBILITY_TIMEOUT"):
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        **PROJECT_TRANSPORT,
        "visibility_timeout": int(visibility_timeout),
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    }
LOYALTY_WALLET["WALLETS"]["google"]["OPTIONS"].update(
    {"timeout_seconds": 2, **json.loads(os.environ.get("CHAOS_WALLET_OPTIONS", "{}"))}
)
