"""`manage.py demo` keeps what it tells, touches nobody's data, and ends when it is told to."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, build_opener

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connection

from loyalty_wallet.models import LoyaltyProgram, SyncRun, SyncState, WalletPass
from project.demo import live, shop

ROOT = Path(__file__).resolve().parent.parent
DEMO = [sys.executable, "manage.py", "demo", "--fast"]
CARDS = 40

# Whatever the environment says: no real Google, no broker, no other host.
HOSTILE = {
    "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
    "DJANGO_ALLOWED_HOSTS": "shop.example",
    "GOOGLE_WALLET_API_URL": "https://walletobjects.googleapis.com",
    "GOOGLE_WALLET_CREDENTIALS": "missing.json",
    "GOOGLE_WALLET_ISSUER_ID": "1234",
    "HTTPS_PROXY": "http://127.0.0.1:1",
    "HTTP_PROXY": "http://127.0.0.1:1",
    "REDIS_URL": "redis://127.0.0.1:1/0",
}

# As a module would not, this lets the phones show something else than the database.
BROKEN_PHONES = """
import django
django.setup()
from django.core.management import execute_from_command_line
from project.demo import google
google._shows = lambda resource, card: False
execute_from_command_line(["manage.py", "demo", "--fast", "--cards", "10"])
"""


class DemoDatabase:
    """A file for the demo, read without the code that wrote it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def environment(self, **more: str) -> dict[str, str]:
        plain = {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"}
        return {**plain, "DATABASE_URL": f"sqlite:///{self.path}", **more}

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path)) as database:
            return database.execute(query).fetchall()

    def statuses(self) -> list[str]:
        return [status for (status,) in self.rows("SELECT status FROM loyalty_wallet_syncrun")]


def run_demo(database: DemoDatabase, *options: str, **environment: str) -> str:
    done = subprocess.run(
        [*DEMO, *options],
        cwd=ROOT,
        env=database.environment(**environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> DemoDatabase:
    return DemoDatabase(tmp_path_factory.mktemp("demo") / "demo.sqlite3")


@pytest.fixture(scope="module")
def screens(database: DemoDatabase) -> list[str]:
    """What two demos in a row said, the second one in an environment that leads astray."""
    options = ("--cards", str(CARDS))
    return [run_demo(database, *options), run_demo(database, *options, **HOSTILE)]


def test_second_demo_replaces_the_first(database: DemoDatabase, screens: list[str]) -> None:
    """It can be shown again and again, and what it tells of itself is plain text in a pipe."""
    assert f"The {CARDS} cards of the last demo are removed." in screens[1]
    assert database.rows("SELECT count(*) FROM loyalty_wallet_loyaltycard") == [(CARDS,)]
    assert database.rows("SELECT count(*) FROM loyalty_wallet_walletpass") == [(2 * CARDS,)]
    assert database.rows("SELECT count(*) FROM auth_user") == [(0,)]
    for screen in screens:
        assert "\x1b" not in screen
        assert screen.count(f"Google Wallet: {CARDS} of {CARDS} right.") == 3
        assert f"Google Wallet: {CARDS - 3} of {CARDS} right." in screen
        # Four at first; one of them is wiped, and another one is out of reach for a while.
        assert re.findall(r"iPhones: (\d of \d) right", screen) == [
            "4 of 4",
            "2 of 4",
            "2 of 3",
            "3 of 3",
        ]


@pytest.mark.usefixtures("screens")
def test_history_says_what_the_demo_told(database: DemoDatabase) -> None:
    """Three runs: all well, four failed and why, all well and the four resolved."""
    assert database.statuses() == ["succeeded", "partial", "succeeded"]
    [first, second, third] = database.rows("SELECT id FROM loyalty_wallet_syncrun ORDER BY id")
    assert first < second < third
    failures = database.rows(
        "SELECT run_id, code, attempts, http_status, resolved_by_id"
        " FROM loyalty_wallet_syncfailure ORDER BY code"
    )
    assert failures == [
        (*second, "invalid_card", 0, None, *third),
        (*second, "rejected", 1, 400, *third),
        (*second, "unavailable", 4, 503, *third),
        (*second, "unavailable", 4, 503, *third),
    ]
    receipts = "SELECT count(*) FROM loyalty_wallet_appleregistration WHERE news_since IS NULL"
    assert database.rows(receipts) == [(3,)]
    assert database.rows("SELECT count(*) FROM loyalty_wallet_appledevicecomplaint") == [(0,)]
    due = "SELECT count(*) FROM loyalty_wallet_walletpass WHERE due_at IS NOT NULL"
    assert database.rows(due) == [(0,)]
    claims = "SELECT count(*) FROM loyalty_wallet_syncstate WHERE scope = 'demo'"
    assert database.rows(claims) == [(0,)]


@pytest.mark.chaos
def test_wrong_end_is_a_failure(tmp_path: Path) -> None:
    """When the phones are not right in the end, the exit status says so, and the message why."""
    database = DemoDatabase(tmp_path / "demo.sqlite3")
    done = subprocess.run(
        [sys.executable, "-c", BROKEN_PHONES],
        cwd=ROOT,
        env=database.environment(DJANGO_SETTINGS_MODULE="project.settings"),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "expected 0 wrong cards, found 10" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.django_db
@pytest.mark.parametrize(
    "make",
    [
        lambda: LoyaltyProgram.objects.create(name="Ours", slug="ours", issuer_name="Us"),
        lambda: WalletPass.objects.create(
            card_key="7", wallet="google", remote_id="99.x", program_key=shop.SLUG
        ),
    ],
    ids=["program", "pass"],
)
def test_database_with_other_data_is_refused(make: Callable[[], object]) -> None:
    """Somebody's programs and passes are left alone, and the message names the way out."""
    make()
    with pytest.raises(CommandError, match=r"not the demo's.*DATABASE_URL=sqlite:///"):
        call_command("demo", any_database=True)
    assert not LoyaltyProgram.objects.filter(slug=shop.SLUG).exists()
    assert not SyncRun.objects.exists()


@pytest.mark.django_db
def test_other_databases_than_sqlite_must_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database server is somebody's until it is said that it may be filled."""
    monkeypatch.setattr(connection, "vendor", "postgresql")
    with pytest.raises(CommandError, match="--any-database"):
        shop.refuse_foreign_data(any_database=False)
    shop.refuse_foreign_data(any_database=True)


@pytest.mark.django_db
def test_second_demo_at_the_same_time_is_refused() -> None:
    """One that runs is not robbed of its cards by another one."""
    shop.claim_database()
    with pytest.raises(CommandError, match="A demo is at work"):
        shop.claim_database()
    shop.release_database()
    shop.claim_database()
    assert SyncState.objects.filter(scope=shop.CLAIM).count() == 1


@pytest.mark.django_db
def test_login_of_somebody_else_is_refused() -> None:
    """A user who happens to be called like the demo's keeps their password."""
    get_user_model()._default_manager.create(username=live.LOGIN, email="demo@shop.example")
    with pytest.raises(CommandError, match="not the demo's"):
        live.check_login()


@pytest.mark.parametrize("options", [{"cards": 9}, {"cards": 5001}, {"interval": 0.0}])
def test_nonsense_is_refused_before_anything_happens(options: dict[str, Any]) -> None:
    """Numbers out of range are a usage error."""
    with pytest.raises(CommandError) as refused:
        call_command("demo", **options)
    assert refused.value.returncode == 2


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[DemoDatabase, subprocess.Popen[str]]]:
    """A demo with --serve that has told its story and announced its site."""
    database = DemoDatabase(tmp_path / "demo.sqlite3")
    process = subprocess.Popen(
        [*DEMO, "--cards", str(CARDS), "--serve", "0", "--interval", "0.5"],
        cwd=ROOT,
        env=database.environment(**HOSTILE),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield database, process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.chaos
def test_serve_keeps_site_and_syncs_going_until_ctrl_c(
    served: tuple[DemoDatabase, subprocess.Popen[str]],
) -> None:
    """One can log in with the printed password, watch the history grow, and leave in peace."""
    database, process = served
    said = _read_until(process, r"Ctrl-C ends it")
    [url] = re.findall(r"Open (http://127\.0\.0\.1:\d+)/admin/", said)
    [password] = re.findall(r"password (\S+) ", said)

    browser = build_opener(HTTPCookieProcessor(CookieJar()))
    page = _get(browser, f"{url}/admin/login/")
    [token] = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    form = {"username": "demo", "password": password, "csrfmiddlewaretoken": token}
    form["next"] = "/admin/"
    with browser.open(f"{url}/admin/login/", urlencode(form).encode(), timeout=10) as answer:
        assert answer.url == f"{url}/admin/"
        assert "Site administration" in answer.read().decode()
    assert _get(browser, f"{url}/static/admin/css/base.css")

    [card_page] = re.findall(rf"^ *({re.escape(url)}/wallet/cards/\S+)$", said, re.MULTILINE)
    assert "Add to Apple Wallet" in _get(browser, card_page)
    # Google's own page is the emulator's, too: nothing leaves the machine.
    assert "emulated Google Wallet" in _get(browser, f"{card_page}google/")

    # More than a full turn of Google's moods: single cards in trouble, then all of them.
    deadline = time.monotonic() + 60
    while len(database.statuses()) < 7 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert len(database.statuses()) >= 7
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=30)
    assert process.returncode == 0, rest
    assert "Google begins to answer 503" in rest
    assert "Google cannot be reached" in rest
    assert "Traceback" not in rest
    assert "running" not in database.statuses()


def _read_until(process: subprocess.Popen[str], pattern: str) -> str:
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if re.search(pattern, line):
            return said
    pytest.fail(f"The demo ended before it was asked to:\n{said}")


def _get(browser: OpenerDirector, url: str) -> str:
    with browser.open(url, timeout=10) as answer:
        assert answer.status == 200
        text: str = answer.read().decode()
        return text
