"""The configured wallets by their aliases, built once per process and setting."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils.module_loading import import_string

from .conf import LEASE_MARGIN_SECONDS, SETTING, WalletConf, get_conf, refuse_unknown
from .wallets.base import Wallet


def get_wallets() -> Mapping[str, Wallet]:
    """Return every configured wallet by its alias, in the order of the settings.

    Raises ImproperlyConfigured, naming the alias, when one cannot be built.
    """
    return _wallets()


def build_wallet(alias: str, conf: WalletConf) -> Wallet:
    """Build one wallet. Raises ImproperlyConfigured, naming the alias and the option."""
    where = f"{SETTING}['WALLETS'][{alias!r}]"
    try:
        backend = import_string(conf.backend)
    except ImportError as error:
        raise ImproperlyConfigured(f"{where}['BACKEND']: {error}") from error
    if not (isinstance(backend, type) and issubclass(backend, Wallet)):
        raise ImproperlyConfigured(f"{where}['BACKEND']: {conf.backend} is not a Wallet.")
    required, optional = _options_of(backend)
    refuse_unknown(conf.options, required + optional, where=f"{where}['OPTIONS']")
    for name in required:
        if name not in conf.options:
            raise ImproperlyConfigured(f"{where}['OPTIONS'] must define {name!r}.")
    try:
        wallet = backend(alias, **conf.options)
    except (TypeError, ValueError) as error:
        raise ImproperlyConfigured(f"{where}['OPTIONS']: {error}") from error
    longest = get_conf().lease_seconds - LEASE_MARGIN_SECONDS
    if wallet.timeout_seconds >= longest:
        raise ImproperlyConfigured(
            f"{where}['OPTIONS']: timeout_seconds must be below {longest:g}, or no request would "
            f"end within its lease; raise {SETTING}['LEASE_SECONDS'] for more."
        )
    return wallet


@cache
def _wallets() -> dict[str, Wallet]:
    return {alias: build_wallet(alias, conf) for alias, conf in get_conf().wallets.items()}


@receiver(setting_changed)
def _forget(*, setting: str, **_: Any) -> None:
    if setting == SETTING:
        _wallets.cache_clear()


def _options_of(backend: type[Wallet]) -> tuple[list[str], list[str]]:
    """Return the required and the optional keywords of a wallet's constructors."""
    required: list[str] = []
    optional: list[str] = []
    for cls in backend.__mro__:
        constructor = cls.__dict__.get("__init__")
        if constructor is None:
            continue
        parameters = inspect.signature(constructor).parameters.values()
        for parameter in parameters:
            if parameter.kind is parameter.KEYWORD_ONLY:
                has_default = parameter.default is not parameter.empty
                (optional if has_default else required).append(parameter.name)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    return required, optional
