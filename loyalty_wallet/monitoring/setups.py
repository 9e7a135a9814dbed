"""The wallets of the settings, each for itself: one that is wrong does not take the others along."""

from __future__ import annotations

from typing import NamedTuple

from django.core.exceptions import ImproperlyConfigured

from ..conf import Conf, get_conf
from ..registry import build_wallet, get_wallets
from ..wallets.base import Wallet


class Setup(NamedTuple):
    """A wallet as the settings have it, and what is wrong with it; None if it cannot be built."""

    wallet: Wallet | None
    problem: str


def read_setups() -> dict[str, Setup]:
    """Return each wallet of the settings by its alias. Reads keys; raises ImproperlyConfigured."""
    conf = get_conf()
    try:
        return {alias: Setup(wallet, _flaw(wallet)) for alias, wallet in get_wallets().items()}
    except ImproperlyConfigured:
        return {alias: _read_setup(alias, conf) for alias in conf.wallets}


def usable_wallets() -> dict[str, Wallet]:
    """Return the wallets with which nothing is wrong, as far as this machine can tell."""
    try:
        setups = read_setups()
    except ImproperlyConfigured:
        return {}
    return {
        alias: setup.wallet
        for alias, setup in setups.items()
        if setup.wallet is not None and not setup.problem
    }


def _read_setup(alias: str, conf: Conf) -> Setup:
    try:
        wallet = build_wallet(alias, conf.wallets[alias])
    except ImproperlyConfigured as error:
        return Setup(None, str(error))
    return Setup(wallet, _flaw(wallet))


def _flaw(wallet: Wallet) -> str:
    return " ".join(wallet.check())
