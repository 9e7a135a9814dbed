"""The whole matrix: `pip install nox`, then `nox -f .ci/noxfile.py`; `-l` lists it, `-s` picks.

It takes hours. `.ci/run` runs the part of it that every change must pass. Sessions on PostgreSQL
and MariaDB start private servers, where these are installed.
"""

from __future__ import annotations

from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent.parent
# Django 6.0 needs Python 3.12.
VERSIONS = [("3.11", "5.2"), ("3.13", "5.2"), ("3.13", "6.0")]
ON_TABLES = ("tests/models", "tests/shop", "tests/sync", "tests/management")
"""What touches tables, and with them what runs."""
ENGINE = ("tests/sync", "tests/wallets", "tests/models", "tests/management")
"""What covers `sync` and `wallets`, and needs no queue."""
NEED_CELERY = (
    "tests/management/test_install_wallet_schedule.py",
    "tests/management/test_wallet_doctor_online.py",
    "tests/management/test_wallet_doctor_schedule.py",
    "tests/sync/alarms/test_beat.py",
    "tests/sync/pump/test_limits.py",
    "tests/sync/pump/test_pauses.py",
)
QUEUE = ("amqp", "billiard", "celery", "django-celery-beat", "kombu", "redis", "vine")
MUTMUT = "mutmut==3.8.1"

nox.options.sessions = ["tests", "databases", "without_celery", "oldest", "newest"]
nox.options.envdir = str(ROOT / ".nox")


@nox.session
@nox.parametrize(("python", "django"), VERSIONS)
def tests(session: nox.Session, django: str) -> None:
    """All tests, on SQLite and with what else they start."""
    _install_pinned(session, django)
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
@nox.parametrize("server", ["postgres", "mariadb"])
@nox.parametrize(("python", "django"), VERSIONS)
def databases(session: nox.Session, django: str, server: str) -> None:
    """What touches tables, on a private PostgreSQL or MariaDB."""
    _install_pinned(session, django)
    on_server = ("python", ".ci/with_server.py", server)
    session.run(*on_server, "python", "-m", "pytest", *ON_TABLES, *session.posargs)


@nox.session(python=["3.11", "3.13"])
def without_celery(session: nox.Session) -> None:
    """The engine and the commands where neither Celery nor Redis is installed."""
    _install_pinned(session, "5.2")
    session.run("python", "-m", "pip", "uninstall", "-q", "-y", *QUEUE)
    left_out = [f"--ignore={path}" for path in NEED_CELERY]
    session.run("python", "-m", "pytest", *ENGINE, *left_out, *session.posargs)


@nox.session(python="3.11")
def oldest(session: nox.Session) -> None:
    """What is allowed in its oldest versions; measures what the tests of the engine cover."""
    session.chdir(ROOT)
    requirements = Path(session.create_tmp()) / "oldest.txt"
    requirements.write_text(str(session.run("python", ".ci/oldest.py", silent=True)))
    session.install("-r", str(requirements))
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *ENGINE, *session.posargs)
    session.run("coverage", "combine", "-q")
    session.run("coverage", "report")


@nox.session(python="3.13")
def newest(session: nox.Session) -> None:
    """What is allowed in its newest versions, whatever requirements.txt says."""
    session.chdir(ROOT)
    session.install("--upgrade", "-e", ".[dev]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python="3.11")
def mutation(session: nox.Session) -> None:
    """Small changes to leases, ledger, retry, breaker and answers: does a test notice each?"""
    _install_pinned(session, "5.2")
    session.install(MUTMUT)
    session.run("mutmut", "run", *session.posargs)
    session.run("mutmut", "results")


def _install_pinned(session: nox.Session, django: str) -> None:
    session.chdir(ROOT)
    session.install("-r", "requirements.txt")
    session.install(f"Django~={django}.0")
    session.install("--no-deps", "-e", ".")
