"""The demo's wallets: both providers emulated in this process, and settings that know no other."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celery import current_app
from django.test.utils import override_settings

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard
from loyalty_wallet.registry import get_wallets

from .apple import Iphones, iphones
from .google import wrong_objects
from .shop import APPLE, GOOGLE, ISSUER_ID

LATENCY_SECONDS = 0.05
LADDER = (1, 4, 16)
FAST_LADDER = (0.1, 0.2, 0.3)
TIMEOUT_SECONDS = 10
FAST_TIMEOUT_SECONDS = 2
BROKER_VARIABLES = ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL")


@dataclass(frozen=True, slots=True)
class Providers:
    """An emulated Google, and iPhones behind an emulated APNs."""

    google: GoogleEmulator
    iphones: Iphones

    def heal(self) -> None:
        """Let everything go well again."""
        self.google.heal()
        self.iphones.apns.heal()

    def wrong_at_google(self, cards: list[LoyaltyCard]) -> list[str]:
        """Return the keys of the cards that Google shows wrong."""
        return wrong_objects(self.google, cards)


@contextmanager
def emulated_wallets(site_url: str, *, is_fast: bool) -> Iterator[Providers]:
    """Let the wallets be at the emulators and nowhere else; phones fetch from `site_url`."""
    google = GoogleEmulator(
        issuer_id=ISSUER_ID,
        requests_per_second=None,
        latency_seconds=LATENCY_SECONDS,
        log_bodies=False,
    )
    with (
        tempfile.TemporaryDirectory(prefix="wallet-demo-") as folder,
        google,
        iphones(Path(folder)) as phones,
        override_settings(**_settings(google, phones, site_url, is_fast=is_fast)),
    ):
        if getattr(get_wallets()[GOOGLE], "api_url", None) != google.url:
            raise RuntimeError("The wallets are not at the emulators.")
        yield Providers(google, phones)


def _settings(
    google: GoogleEmulator, phones: Iphones, site_url: str, *, is_fast: bool
) -> dict[str, Any]:
    timeout_seconds = FAST_TIMEOUT_SECONDS if is_fast else TIMEOUT_SECONDS
    limits = {"requests_per_second": None, "timeout_seconds": timeout_seconds}
    return {
        "LOYALTY_WALLET": {
            "WALLETS": {
                GOOGLE: {
                    "BACKEND": "loyalty_wallet.wallets.google.GoogleWallet",
                    "OPTIONS": {
                        **google.wallet_options,
                        "save_url": google.save_url,
                        "callback_url": f"{site_url}/wallet/google/callback/",
                        **limits,
                    },
                },
                APPLE: {
                    "BACKEND": "loyalty_wallet.wallets.apple.AppleWallet",
                    "OPTIONS": {**phones.wallet_options(site_url), **limits},
                },
            },
            "RETRY_DELAYS": FAST_LADDER if is_fast else LADDER,
        },
        "REDIS_URL": None,
        "CELERY_BROKER_URL": None,
    }


def forget_broker() -> None:
    """Wake no Celery worker: one that runs elsewhere may be configured for the real providers."""
    for name in BROKER_VARIABLES:
        os.environ.pop(name, None)
    current_app.conf.update(broker_url="", broker_read_url="", broker_write_url="")
