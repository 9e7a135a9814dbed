"""What does no harm on a developer's machine, and some on a server: `manage.py check --deploy`."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db.models import EmailField

from ..conf import Conf, get_conf
from ..sources import get_card_source
from ..wallets.base import is_loopback
from ..wallets.secrets import LONGEST_PATH

LONGEST_TASK_SECONDS = 56 * 60
"""What `loyalty.sync_wallet_passes` may take before Celery ends it."""
LEAST_TOKEN_CHARACTERS = 16
WITH_KEYS = ("credentials", "private_key", "push_key", "certificate")
"""Options that may name a file with a private key in it."""

_REDIS_VISIBILITY_SECONDS = 3600
"""Celery's own default."""


def check_endpoints(app_configs: Any = None, **_: Any) -> list[checks.CheckMessage]:
    """W003: a wallet talks to this machine, or tells phones to."""
    here: dict[str, list[str]] = {}
    for alias, name, value in _options():
        if name.endswith("_url") and isinstance(value, str) and _is_here(value):
            here.setdefault(alias, []).append(name)
    return [
        checks.Warning(
            f"Wallet {alias!r} uses URLs of this machine: {', '.join(names)}.",
            hint="Remove those of an emulator; for the others name the host that phones can reach.",
            id="loyalty_wallet.W003",
        )
        for alias, names in here.items()
    ]


def check_key_files(app_configs: Any = None, **_: Any) -> list[checks.CheckMessage]:
    """W004: others may read a file with a key. W005: the web server gives it away."""
    found: list[checks.CheckMessage] = []
    for alias, name, value in _options():
        path = _key_file(name, value)
        if path is None:
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
            found.append(
                checks.Warning(
                    f"Wallet {alias!r}: the file of {name} is open to others (mode {mode:03o}).",
                    hint=f"Run: chmod 600 {path}",
                    id="loyalty_wallet.W004",
                )
            )
        found += [
            checks.Warning(
                f"Wallet {alias!r}: the file of {name} is below {setting}, which is served.",
                hint="Move it to where no web server looks.",
                id="loyalty_wallet.W005",
            )
            for setting in ("STATIC_ROOT", "MEDIA_ROOT")
            if (root := getattr(settings, setting, "")) and _is_below(path, Path(root))
        ]
    return found


def check_celery(app_configs: Any = None, **_: Any) -> list[checks.CheckMessage]:
    """W006: tasks run in the request. W007: pickle. W008: a running task is given out again."""
    if find_spec("celery") is None:
        return []
    from celery import current_app

    conf = current_app.conf
    found: list[checks.CheckMessage] = []
    if conf.task_always_eager:
        found.append(
            checks.Warning(
                "Celery runs tasks eagerly: a request would wait for Google and Apple.",
                hint="Remove CELERY_TASK_ALWAYS_EAGER, and start a worker.",
                id="loyalty_wallet.W006",
            )
        )
    if not conf.broker_url:
        return found
    accepted = {str(content).lower() for content in conf.accept_content or ()}
    if accepted & {"pickle", "application/x-python-serialize", "yaml", "application/x-yaml"}:
        found.append(
            checks.Warning(
                "Celery accepts pickle or YAML: who can write to the broker can run code.",
                hint="Set CELERY_ACCEPT_CONTENT = ['json'].",
                id="loyalty_wallet.W007",
            )
        )
    options = conf.broker_transport_options or {}
    visible_after = options.get("visibility_timeout", _REDIS_VISIBILITY_SECONDS)
    is_redis = str(conf.broker_url).startswith(("redis", "sentinel"))
    if is_redis and visible_after <= LONGEST_TASK_SECONDS:
        found.append(
            checks.Warning(
                f"Celery's visibility_timeout is {visible_after:g} s: a run may take "
                f"{LONGEST_TASK_SECONDS} s, and would be given to a second worker.",
                hint="Set CELERY_BROKER_TRANSPORT_OPTIONS = {'visibility_timeout': 7200}.",
                id="loyalty_wallet.W008",
            )
        )
    return found


def check_token(app_configs: Any = None, **_: Any) -> list[checks.CheckMessage]:
    """W009: the token of `wallet-status/` can be guessed."""
    conf = _conf()
    if conf is None or not 0 < len(conf.status_token) < LEAST_TOKEN_CHARACTERS:
        return []
    return [
        checks.Warning(
            f"STATUS_TOKEN has {len(conf.status_token)} characters: it can be guessed.",
            hint="Make a new one: openssl rand -hex 32",
            id="loyalty_wallet.W009",
        )
    ]


def check_database(app_configs: Any = None, **_: Any) -> list[checks.CheckMessage]:
    """I001: SQLite takes one writer at a time, on one machine."""
    databases: Mapping[str, Mapping[str, Any]] = settings.DATABASES
    if not any(database["ENGINE"].endswith("sqlite3") for database in databases.values()):
        return []
    return [
        checks.Info(
            "The database is SQLite: one writer at a time, and all processes on one machine.",
            hint="For several workers or machines use PostgreSQL or MariaDB.",
            id="loyalty_wallet.I001",
        )
    ]


def check_keys_of_cards(app_configs: Any = None, **_: Any) -> list[checks.CheckMessage]:
    """W010: cards are known by their customers' e-mail addresses."""
    try:
        source = get_card_source()
        field = source.model._meta.get_field(source.key_field) if source.key_field != "pk" else None
    except (ImproperlyConfigured, FieldDoesNotExist):
        # E004 speaks of the source; a key may also be something that is no field.
        return []
    if not isinstance(field or source.model._meta.pk, EmailField):
        return []
    return [
        checks.Warning(
            f"Cards are known by {source.model.__name__}.{source.key_field}, an e-mail address: it "
            "stands in tables, reports and messages of the broker, and cannot change.",
            hint="Let key_field name a number or a random id of the customer's.",
            id="loyalty_wallet.W010",
        )
    ]


def check_cache(app_configs: Any = None, **_: Any) -> list[checks.CheckMessage]:
    """W011: nobody counts how often phones and customers ask."""
    backend = settings.CACHES.get("default", {}).get("BACKEND", "")
    if not backend.endswith("DummyCache"):
        return []
    return [
        checks.Warning(
            "The default cache keeps nothing: whoever asks without end is not told to wait.",
            hint="Use a real cache; one that all processes share counts for all of them.",
            id="loyalty_wallet.W011",
        )
    ]


def check_hosts(app_configs: Any = None, **_: Any) -> list[checks.CheckMessage]:
    """W012: links to cards can be made to lead elsewhere."""
    if "*" not in settings.ALLOWED_HOSTS:
        return []
    return [
        checks.Warning(
            "ALLOWED_HOSTS has '*': links to cards that are built from a request name whatever "
            "host the request claims, and whoever gets such a link can open the card.",
            hint="Name the hosts of this site in ALLOWED_HOSTS.",
            id="loyalty_wallet.W012",
        )
    ]


def check_mail(app_configs: Any = None, **_: Any) -> list[checks.CheckMessage]:
    """W013: alarms are mailed to nobody. W014: a mail server that hangs holds up the sync."""
    conf = _conf()
    if conf is None or not conf.alert_mail:
        return []
    found: list[checks.CheckMessage] = []
    if not settings.ADMINS:
        found.append(
            checks.Warning(
                "ALERT_MAIL is on, but ADMINS is empty: nobody is told of alarms by mail.",
                hint="Name in ADMINS who is to be told.",
                id="loyalty_wallet.W013",
            )
        )
    if settings.EMAIL_BACKEND.endswith("smtp.EmailBackend") and settings.EMAIL_TIMEOUT is None:
        found.append(
            checks.Warning(
                "ALERT_MAIL is on, and EMAIL_TIMEOUT is not set: a mail server that does not answer "
                "holds up whoever tells of an alarm, a run among them.",
                hint="Set EMAIL_TIMEOUT = 10 (seconds).",
                id="loyalty_wallet.W014",
            )
        )
    return found


CHECKS = (
    check_endpoints,
    check_key_files,
    check_celery,
    check_token,
    check_keys_of_cards,
    check_cache,
    check_hosts,
    check_mail,
    check_database,
)


def _conf() -> Conf | None:
    try:
        return get_conf()
    except ImproperlyConfigured:
        # E001 says so.
        return None


def _options() -> Iterator[tuple[str, str, Any]]:
    conf = _conf()
    for alias, wallet in conf.wallets.items() if conf else ():
        for name, value in wallet.options.items():
            yield alias, name, value


def _is_here(url: str) -> bool:
    try:
        return is_loopback(urlsplit(url).hostname)
    except ValueError:
        return False


def _key_file(name: str, value: object) -> Path | None:
    """Return the file that an option names, if it does, and a key may be in it."""
    if name not in WITH_KEYS or not isinstance(value, str | Path):
        return None
    text = str(value)
    if len(text) > LONGEST_PATH or not text.isprintable():
        return None
    path = Path(text)
    if not path.is_file():
        return None
    # Most certificates come without their key and may be read by everybody.
    return path if name != "certificate" or _holds_a_key(path) else None


def _holds_a_key(path: Path) -> bool:
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return b"PRIVATE KEY" in content or b"BEGIN CERTIFICATE" not in content


def _is_below(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())
