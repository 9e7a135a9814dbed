"""The demo's Google: an emulator in this process, and settings that know no other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import current_app
from django.test.utils import override_settings

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, WalletPass
from loyalty_wallet.registry import get_wallets

from .shop import ALIAS, ISSUER_ID, STAMPS_REQUIRED

LATENCY_SECONDS = 0.05
LADDER = (1, 4, 16)
FAST_LADDER = (0.1, 0.2, 0.3)
TIMEOUT_SECONDS = 10
FAST_TIMEOUT_SECONDS = 2
BROKER_VARIABLES = ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL")


@contextmanager
def emulated_google(*, is_fast: bool) -> Iterator[GoogleEmulator]:
    """Serve an emulated Google, and let the wallet `google` be at it and nowhere else."""
    emulator = GoogleEmulator(
        issuer_id=ISSUER_ID,
        requests_per_second=None,
        latency_seconds=LATENCY_SECONDS,
        log_bodies=False,
    )
    with emulator, override_settings(**_settings(emulator, is_fast=is_fast)):
        _forget_broker()
        [wallet] = get_wallets().values()
        if getattr(wallet, "api_url", None) != emulator.url:
            raise RuntimeError("The wallet is not at the emulator.")
        yield emulator


def wrong_phones(emulator: GoogleEmulator, cards: list[LoyaltyCard]) -> list[LoyaltyCard]:
    """Return the cards whose object at Google does not show what the database has.

    Compared by hand, not by the app's own rendering, which is on trial here.
    """
    keys = [card.key for card in cards]
    passes = WalletPass.objects.for_cards(keys).filter(wallet=ALIAS)
    ids = dict(passes.values_list("card_key", "remote_id"))
    objects = emulator.objects
    fresh = LoyaltyCard.objects.in_bulk([card.pk for card in cards])
    return [
        card for card in fresh.values() if not _shows(objects.get(ids.get(card.key, ""), {}), card)
    ]


def _shows(resource: dict[str, Any], card: LoyaltyCard) -> bool:
    points = resource.get("loyaltyPoints", {}).get("balance", {}).get("int")
    stamps = resource.get("secondaryLoyaltyPoints", {}).get("balance", {}).get("string")
    return (
        resource.get("state") == "ACTIVE"
        and resource.get("accountName") == card.holder_name
        and points == card.points_balance
        and stamps == f"{card.stamps}/{STAMPS_REQUIRED}"
    )


def _settings(emulator: GoogleEmulator, *, is_fast: bool) -> dict[str, Any]:
    return {
        "LOYALTY_WALLET": {
            "WALLETS": {
                ALIAS: {
                    "BACKEND": "loyalty_wallet.wallets.google.GoogleWallet",
                    "OPTIONS": {
                        **emulator.wallet_options,
                        "requests_per_second": None,
                        "timeout_seconds": FAST_TIMEOUT_SECONDS if is_fast else TIMEOUT_SECONDS,
                    },
                },
            },
            "RETRY_DELAYS": FAST_LADDER if is_fast else LADDER,
        },
        "REDIS_URL": None,
        "CELERY_BROKER_URL": None,
    }


def _forget_broker() -> None:
    """Wake no Celery worker: one that runs elsewhere may be configured for the real Google."""
    for name in BROKER_VARIABLES:
        os.environ.pop(name, None)
    current_app.conf.update(broker_url="", broker_read_url="", broker_write_url="")
