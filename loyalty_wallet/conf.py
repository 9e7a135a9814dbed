"""The LOYALTY_WALLET setting as a frozen value; unknown keys are refused by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from functools import cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver

SETTING = "LOYALTY_WALLET"
LEASE_MARGIN_SECONDS = 5
"""By which the lease of a pass must outlive the time limit of a request that starts."""
DEFAULT_CARD_SOURCE = "loyalty_wallet.sources.LoyaltyCardSource"


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletConf:
    """One entry of WALLETS: the class of the wallet and its constructor's keywords."""

    backend: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conf:
    """All settings with their defaults. Each key of LOYALTY_WALLET is a field in upper case."""

    wallets: Mapping[str, WalletConf] = field(default_factory=dict)
    """Alias -> {"BACKEND": dotted path, "OPTIONS": {...}}."""
    card_source: str = DEFAULT_CARD_SOURCE
    """Dotted path of the `CardSource` that alone knows the card table."""
    retry_delays: tuple[float, ...] = (1, 4, 16)
    """Seconds between the attempts of one card; their number plus one is the most attempts."""
    window: timedelta = timedelta(hours=1)
    """A run looks for changes that nobody announced at least this far back."""
    batch_size: int = 500
    """Passes claimed, and outcomes recorded, in one transaction."""
    lease_seconds: float = 120
    """How long a claimed pass is ours without a renewal."""
    claim_strategy: str = "auto"
    """`auto`, `skip_locked` or `cas`: how passes are claimed."""
    rate_limit_redis_url: str = ""
    """Book requests in this Redis instead of the database."""
    workers: int = 1
    """Celery workers that a scheduled run wakes, itself included."""
    max_run_seconds: float = 3000
    """A run stops claiming after this long and leaves the rest to the next one."""
    audit: bool = True
    """Let each scheduled run compare a 24th of all passes that nobody has announced."""
    recreate_missing: bool = True
    """Insert a pass again that the provider no longer knows."""
    link_max_age: timedelta = timedelta(days=30)
    """How long the links open with which customers add their cards."""
    set_aside_after: int = 24
    """Failing runs in a row, with a code that no retry mends, before a pass is set aside."""
    alert_failure_rate: float = 0.05
    """Share of failed cards above which a run raises an alert."""
    alert_duration_seconds: float = 30
    """Length of a run above which it raises an alert."""
    alert_failed_cards: int = 10
    """Number of failed cards above which a run raises an alert."""
    alert_oldest_due_seconds: float = 7200
    """How long a card may be wrong before that is an alert."""
    run_interval: timedelta = timedelta(hours=1)
    """How often the sync is scheduled; no success for two of these is an alert."""
    alert_mail: bool = False
    """Mail alerts to ADMINS."""
    status_token: str = field(default="", repr=False)
    """Who brings it may read the status over HTTP; empty: nobody but the staff."""
    alert_handlers: tuple[str, ...] = ()
    """Dotted paths of callables that are called with each `Alert`."""

    @classmethod
    def from_setting(cls, setting: Mapping[str, Any]) -> Conf:
        """Build the configuration from the LOYALTY_WALLET dict.

        Raises ImproperlyConfigured for an unknown key or a value that makes no sense.
        """
        if not isinstance(setting, Mapping):
            raise ImproperlyConfigured(f"{SETTING} must be a dict.")
        known = {item.name.upper(): item.name for item in fields(cls)}
        refuse_unknown(setting, known, where=SETTING)
        values = {known[key]: value for key, value in setting.items()}
        if "wallets" in values:
            values["wallets"] = _wallets(values["wallets"])
        for name, is_sound, rule in _RULES:
            if name in values and not is_sound(values[name]):
                raise ImproperlyConfigured(f"{SETTING}[{name.upper()!r}] must be {rule}.")
        if "retry_delays" in values:
            values["retry_delays"] = tuple(values["retry_delays"])
        if "alert_handlers" in values:
            values["alert_handlers"] = tuple(values["alert_handlers"])
        return cls(**values)


def refuse_unknown(given: Iterable[str], known: Iterable[str], *, where: str) -> None:
    """Raise ImproperlyConfigured for the first key of `given` that is not `known`."""
    known = list(known)
    for key in given:
        if key not in known:
            nearest = difflib.get_close_matches(str(key), known, n=1)
            hint = f" Did you mean {nearest[0]!r}?" if nearest else f" Known: {', '.join(known)}."
            raise ImproperlyConfigured(f"{where} has no key {key!r}.{hint}")


def get_conf() -> Conf:
    """Return the configuration as the settings have it now."""
    return _conf()


@cache
def _conf() -> Conf:
    return Conf.from_setting(getattr(settings, SETTING, {}))


@receiver(setting_changed)
def _forget(*, setting: str, **_: object) -> None:
    if setting == SETTING:
        _conf.cache_clear()


def _wallets(setting: object) -> dict[str, WalletConf]:
    if not isinstance(setting, Mapping):
        raise ImproperlyConfigured(f"{SETTING}['WALLETS'] must be a dict of aliases.")
    wallets = {}
    for alias, entry in setting.items():
        where = f"{SETTING}['WALLETS'][{alias!r}]"
        if not isinstance(alias, str) or not 0 < len(alias) <= 64:
            raise ImproperlyConfigured(f"{where}: an alias is a string of 1 to 64 characters.")
        if not isinstance(entry, Mapping):
            raise ImproperlyConfigured(f"{where} must be a dict with BACKEND and OPTIONS.")
        refuse_unknown(entry, ["BACKEND", "OPTIONS"], where=where)
        if not isinstance(entry.get("BACKEND"), str):
            raise ImproperlyConfigured(f"{where} needs 'BACKEND', the dotted path of a wallet.")
        options = entry.get("OPTIONS", {})
        if not isinstance(options, Mapping):
            raise ImproperlyConfigured(f"{where}['OPTIONS'] must be a dict.")
        wallets[alias] = WalletConf(backend=entry["BACKEND"], options=dict(options))
    return wallets


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_RULES: list[tuple[str, Callable[[Any], bool], str]] = [
    ("card_source", lambda value: isinstance(value, str) and "." in value, "a dotted path"),
    (
        "retry_delays",
        lambda value: (
            isinstance(value, list | tuple)
            and all(_is_number(delay) and delay >= 0 for delay in value)
        ),
        "a list of seconds, none negative",
    ),
    (
        "window",
        lambda value: isinstance(value, timedelta) and value > timedelta(0),
        "a positive timedelta",
    ),
    ("batch_size", lambda value: _is_count(value) and 1 <= value <= 5000, "1 to 5000"),
    ("lease_seconds", lambda value: _is_number(value) and value >= 30, "at least 30 seconds"),
    (
        "claim_strategy",
        lambda value: value in ("auto", "skip_locked", "cas"),
        "'auto', 'skip_locked' or 'cas'",
    ),
    ("rate_limit_redis_url", lambda value: isinstance(value, str), "a URL"),
    ("workers", lambda value: _is_count(value) and 1 <= value <= 64, "from 1 to 64"),
    ("max_run_seconds", lambda value: _is_number(value) and value > 0, "a positive number"),
    ("audit", lambda value: isinstance(value, bool), "True or False"),
    ("recreate_missing", lambda value: isinstance(value, bool), "True or False"),
    (
        "link_max_age",
        lambda value: isinstance(value, timedelta) and value > timedelta(0),
        "a positive timedelta",
    ),
    ("set_aside_after", lambda value: _is_count(value) and value >= 1, "at least 1"),
    ("alert_failure_rate", lambda value: _is_number(value) and 0 <= value <= 1, "from 0 to 1"),
    ("alert_duration_seconds", lambda value: _is_number(value) and value >= 0, "0 or more"),
    ("alert_failed_cards", lambda value: _is_count(value) and value >= 0, "0 or more"),
    ("alert_oldest_due_seconds", lambda value: _is_number(value) and value > 0, "positive"),
    (
        "run_interval",
        lambda value: isinstance(value, timedelta) and value > timedelta(0),
        "a positive timedelta",
    ),
    ("status_token", lambda value: isinstance(value, str), "a string"),
    ("alert_mail", lambda value: isinstance(value, bool), "True or False"),
    (
        "alert_handlers",
        lambda value: (
            isinstance(value, list | tuple)
            and all(isinstance(path, str) and "." in path for path in value)
        ),
        "a list of dotted paths",
    ),
]
