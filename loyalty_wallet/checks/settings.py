"""What keeps the app from working, or soon will."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from django.utils.module_loading import import_string

from ..conf import DEFAULT_CARD_SOURCE, get_conf
from ..registry import build_wallet
from ..sources import get_card_source
from ..wallets.base import Wallet

EXPIRES_SOON_DAYS = 30


def check_settings(app_configs: Any = None, **_: Any) -> Sequence[checks.CheckMessage]:
    """E001: LOYALTY_WALLET has an unknown key or a senseless value. W001: no wallet."""
    try:
        conf = get_conf()
    except ImproperlyConfigured as error:
        return [
            checks.Error(
                str(error),
                hint="Correct LOYALTY_WALLET in the settings, then run: manage.py check",
                id="loyalty_wallet.E001",
            )
        ]
    if conf.wallets:
        return []
    return [
        checks.Warning(
            "No wallet is configured: cards stay in the database.",
            hint=(
                "Add one to LOYALTY_WALLET['WALLETS'], or try the emulator with: "
                "manage.py wallet_emulator"
            ),
            id="loyalty_wallet.W001",
        )
    ]


def check_wallets(app_configs: Any = None, **_: Any) -> Sequence[checks.CheckMessage]:
    """E002: a wallet cannot be built. E003: its key is not usable. W002: it ends soon."""
    try:
        conf = get_conf()
    except ImproperlyConfigured:
        return []
    found: list[checks.CheckMessage] = []
    for alias, wallet_conf in conf.wallets.items():
        try:
            wallet = build_wallet(alias, wallet_conf)
        except ImproperlyConfigured as error:
            found.append(
                checks.Error(
                    str(error),
                    hint=f"Correct the entry {alias!r}, then run: manage.py check",
                    id="loyalty_wallet.E002",
                )
            )
            continue
        problems = wallet.check()
        found += [
            checks.Error(
                f"Wallet {alias!r}: {problem}",
                hint="Correct its OPTIONS, then run: manage.py check",
                id="loyalty_wallet.E003",
            )
            for problem in problems
        ]
        if not problems:
            found += _ends_soon(wallet)
    return found


def _ends_soon(wallet: Wallet) -> Iterator[checks.CheckMessage]:
    expires_at = wallet.expires_at()
    if expires_at is not None and (days := (expires_at - timezone.now()).days) < EXPIRES_SOON_DAYS:
        yield checks.Warning(
            f"Wallet {wallet.alias!r}: its certificate ends in {days} days, on "
            f"{expires_at:%Y-%m-%d}.",
            hint="Renew it, and put the new one in place of the file: no restart is needed.",
            id="loyalty_wallet.W002",
        )


def check_card_source(app_configs: Any = None, **_: Any) -> Sequence[checks.CheckMessage]:
    """E004: the card source cannot be used."""
    try:
        get_conf()
    except ImproperlyConfigured:
        return []
    try:
        get_card_source()
    except ImproperlyConfigured as error:
        return [
            checks.Error(
                str(error),
                hint=f"Write a subclass of CardSource, or remove the key for {DEFAULT_CARD_SOURCE}.",
                id="loyalty_wallet.E004",
            )
        ]
    return []


def check_alert_handlers(app_configs: Any = None, **_: Any) -> Sequence[checks.CheckMessage]:
    """E005: an alert handler cannot be called."""
    try:
        handlers = get_conf().alert_handlers
    except ImproperlyConfigured:
        return []
    found: list[checks.CheckMessage] = []
    for path in handlers:
        try:
            problem = "" if callable(import_string(path)) else f"{path} cannot be called."
        except ImportError as error:
            problem = str(error)
        if problem:
            found.append(
                checks.Error(
                    f"LOYALTY_WALLET['ALERT_HANDLERS']: {problem}",
                    hint="Name functions that take one Alert, or remove the entry.",
                    id="loyalty_wallet.E005",
                )
            )
    return found


CHECKS = (check_settings, check_card_source, check_wallets, check_alert_handlers)
