"""Settings from environment variables, all of them optional; with none it runs on SQLite alone."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key

BASE_DIR = Path(__file__).resolve().parent.parent


def _text(name: str) -> str:
    """An empty variable counts as a missing one: that is what `NAME=` in an env file means."""
    return os.environ.get(name, "").strip()


def _flag(name: str) -> bool:
    value = _text(name).lower()
    if value in {"", "0", "false", "no", "off"}:
        return False
    if value in {"1", "true", "yes", "on"}:
        return True
    raise ImproperlyConfigured(f"{name} must be true or false, not {value!r}.")


def _number(name: str, default: float) -> float:
    value = _text(name)
    try:
        return float(value) if value else default
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a number, not {value!r}.") from None


def _rate(name: str, default: float) -> float | None:
    return None if _text(name).lower() == "none" else _number(name, default)


# --- Security -----------------------------------------------------------------------------------

DEBUG = _flag("DJANGO_DEBUG")

# A key that everyone can read in a repository is worse than none. The random one lives as long as
# the process: good for one process and a first look, while a restart logs everybody out.
SECRET_KEY = _text("DJANGO_SECRET_KEY") or get_random_secret_key()

ALLOWED_HOSTS = [
    host.strip()
    for host in (_text("DJANGO_ALLOWED_HOSTS") or "localhost,127.0.0.1").split(",")
    if host.strip()
]

# Reached from this machine only, so without TLS: not every browser returns a secure cookie to
# http://127.0.0.1, and without cookies nobody can log in.
IS_LOOPBACK_ONLY = set(ALLOWED_HOSTS) <= {"localhost", "127.0.0.1", "[::1]"}

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not (DEBUG or IS_LOOPBACK_ONLY)
SESSION_COOKIE_HTTPONLY = True
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"

# Behind a proxy that ends TLS, Django sees http and would refuse its own https forms.
CSRF_TRUSTED_ORIGINS = [
    f"https://*{host}" if host.startswith(".") else f"https://{host}"
    for host in ALLOWED_HOSTS
    if host != "*" and not IS_LOOPBACK_ONLY
]

# --- Application --------------------------------------------------------------------------------

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "loyalty_wallet",
    "project",  # for `manage.py demo`
]
if find_spec("django_celery_beat") is not None:
    INSTALLED_APPS.append("django_celery_beat")

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"
ASGI_APPLICATION = "project.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"

# --- Language and time --------------------------------------------------------------------------

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("fr", "Français"), ("de", "Deutsch")]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

# --- Database -----------------------------------------------------------------------------------


def _database(url: str) -> dict[str, Any]:
    database: dict[str, Any] = {**dj_database_url.parse(url)}
    match database["ENGINE"]:
        case "django.db.backends.sqlite3":
            # Web server and worker must open the same file, wherever they are started.
            if not database["NAME"].startswith((":memory:", "file:")):
                database["NAME"] = BASE_DIR / database["NAME"]
            options = {
                # Take the write lock when a transaction begins: one that reads first and writes
                # later fails at once with "database is locked", however long the timeout.
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                # Readers do not wait for the writer; the rest of the speed costs no consistency.
                "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL",
            }
        case "django.db.backends.mysql":
            if find_spec("MySQLdb") is None:
                # Pure Python, for machines without a compiler and the MySQL headers.
                import pymysql

                pymysql.install_as_MySQLdb()
            options = {
                "charset": "utf8mb4",
                "sql_mode": "STRICT_TRANS_TABLES",
                # The gap locks of MySQL's own default, REPEATABLE READ, make workers that lease
                # neighbouring rows block each other.
                "isolation_level": "read committed",
            }
        case _:
            options = {}
    # What the URL says after "?" wins.
    database["OPTIONS"] = {**options, **database.get("OPTIONS", {})}
    return database


DATABASES = {"default": _database(_text("DATABASE_URL") or "sqlite:///db.sqlite3")}

# --- Celery -------------------------------------------------------------------------------------

# Without Redis there is no broker: nothing is enqueued, changes stay due for the next run. Tasks
# are never run eagerly either, since a request must not wait for a provider.
REDIS_URL = _text("REDIS_URL") or None

CELERY_BROKER_URL = REDIS_URL
CELERY_RESULT_BACKEND = REDIS_URL
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_TIMEZONE = TIME_ZONE

# Ids travel as JSON; a message that asks to be unpickled is refused.
CELERY_TASK_SERIALIZER = "json"
CELERY_RESULT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_RESULT_EXPIRES = 24 * 60 * 60

# Late acknowledgement alone loses the task of a killed child; only both together requeue it.
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# On a stop, running tasks get this long to end by themselves before they are requeued.
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 30
# A broker that restarts must cost delay, not the sync that is under way.
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True

# Longer than the longest task (a run stops after 50 minutes), or Redis hands a task that is still
# running to a second worker. Celery wants it in all three places.
CELERY_VISIBILITY_TIMEOUT = 2 * 60 * 60
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": CELERY_VISIBILITY_TIMEOUT,
    # Without these a broker that hangs would hold up whoever sends it a message, for ever.
    "socket_connect_timeout": 3,
    "socket_timeout": 3,
    "socket_keepalive": True,
}
CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS = {"visibility_timeout": CELERY_VISIBILITY_TIMEOUT}
# A request that enqueues must not hang while the broker is away: the change is due anyway.
CELERY_TASK_PUBLISH_RETRY_POLICY = {
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0.2,
    "interval_max": 0.2,
}

# --- Wallets ------------------------------------------------------------------------------------


def _google_wallet() -> dict[str, Any] | None:
    issuer_id = _text("GOOGLE_WALLET_ISSUER_ID")
    credentials = _text("GOOGLE_WALLET_CREDENTIALS")
    if not (issuer_id and credentials):
        return None
    options: dict[str, Any] = {
        "issuer_id": issuer_id,
        "credentials": credentials,
        "requests_per_second": _rate("GOOGLE_WALLET_REQUESTS_PER_SECOND", 20.0),
    }
    optional = {
        "api_url": "GOOGLE_WALLET_API_URL",
        "callback_url": "GOOGLE_WALLET_CALLBACK_URL",
        "callback_keys_url": "GOOGLE_WALLET_CALLBACK_KEYS_URL",
        "save_url": "GOOGLE_WALLET_SAVE_URL",
    }
    options |= {option: _text(name) for option, name in optional.items() if _text(name)}
    return {"BACKEND": "loyalty_wallet.wallets.google.GoogleWallet", "OPTIONS": options}


def _apple_wallet() -> dict[str, Any] | None:
    required = {
        "pass_type_identifier": "APPLE_WALLET_PASS_TYPE_IDENTIFIER",
        "team_identifier": "APPLE_WALLET_TEAM_IDENTIFIER",
        "certificate": "APPLE_WALLET_CERTIFICATE",
        "web_service_url": "APPLE_WALLET_WEB_SERVICE_URL",
    }
    optional = {
        "private_key": "APPLE_WALLET_PRIVATE_KEY",
        "private_key_password": "APPLE_WALLET_PRIVATE_KEY_PASSWORD",
        "wwdr_certificate": "APPLE_WALLET_WWDR_CERTIFICATE",
        "images": "APPLE_WALLET_IMAGES",
        "apns_url": "APPLE_WALLET_APNS_URL",
        "apns_ca": "APPLE_WALLET_APNS_CA",
    }
    if not all(map(_text, required.values())):
        return None
    variables = required | optional
    options = {option: _text(name) for option, name in variables.items() if _text(name)}
    return {"BACKEND": "loyalty_wallet.wallets.apple.AppleWallet", "OPTIONS": options}


# A wallet whose variables are missing is not configured, and nothing else changes.
LOYALTY_WALLET: dict[str, Any] = {
    "WALLETS": {
        alias: wallet
        for alias, wallet in {"google": _google_wallet(), "apple": _apple_wallet()}.items()
        if wallet is not None
    },
}
if status_token := _text("WALLET_STATUS_TOKEN"):
    LOYALTY_WALLET["STATUS_TOKEN"] = status_token
if REDIS_URL:
    # All processes book their requests there, which costs the database nothing.
    LOYALTY_WALLET["RATE_LIMIT_REDIS_URL"] = REDIS_URL

# --- Logging ------------------------------------------------------------------------------------

# To stderr: the standard output of a command belongs to its data.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"},
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "line"},
    },
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {"loyalty_wallet": {"level": "INFO"}},
}
