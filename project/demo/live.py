"""The demo kept alive: a site to look at, customers who shop, a Google with moods, a sync now and then."""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.management.base import CommandError
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.db import connection, connections
from django.test.utils import override_settings

from loyalty_wallet.emulator import Fault, GoogleEmulator
from loyalty_wallet.models import SyncRun
from loyalty_wallet.sync import SyncReport, sync_wallet_passes

from . import shop as corner
from .ending import Brake, Ending
from .screen import Screen
from .shop import Shop

logger = logging.getLogger("loyalty_wallet.demo")

HOST = "127.0.0.1"
LOGIN = "demo"
LOGIN_EMAIL = "demo@demo.invalid"
# A browser on this machine, without TLS, whatever the environment says about the real site.
SITE_SETTINGS: dict[str, Any] = {
    "ALLOWED_HOSTS": ["localhost", HOST],
    "SESSION_COOKIE_SECURE": False,
    "CSRF_COOKIE_SECURE": False,
}
JOIN_SECONDS = 10
FEWEST_SECONDS, MOST_SECONDS = 1, 10
"""Between customers."""


class Site:
    """The project's site on a loopback port, which is taken at once."""

    def __init__(self, port: int) -> None:
        try:
            self._server = ThreadedWSGIServer((HOST, port), WSGIRequestHandler)
        except (OSError, OverflowError) as error:
            raise CommandError(
                f"Cannot serve on port {port}: {error}. Try another one: --serve {port + 1}"
            ) from error
        self.url = f"http://{HOST}:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.server_close()

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Answer requests in threads; style sheets too, which DEBUG off would leave to others."""
        logging.getLogger("django.server").setLevel(logging.ERROR)
        with override_settings(**SITE_SETTINGS):
            # Not get_wsgi_application, which would set logging up anew.
            self._server.set_app(StaticFilesHandler(WSGIHandler()))
            thread = threading.Thread(target=self._server.serve_forever, name="site", daemon=True)
            thread.start()
            try:
                yield
            finally:
                self._server.shutdown()
                thread.join()


def check_database() -> None:
    """Raise CommandError when the site's threads could not share the database."""
    if connection.vendor == "sqlite" and connection.settings_dict["NAME"] == ":memory:":
        raise CommandError("The demo needs a database that threads share: not one in memory.")


def check_login() -> None:
    """Raise CommandError when the demo's login is somebody else's."""
    users = get_user_model()._default_manager.filter(username=LOGIN)
    if users.exclude(email=LOGIN_EMAIL).exists():
        raise CommandError(
            f"This database has a user {LOGIN!r} who is not the demo's. Give the demo a database"
            " of its own: DATABASE_URL=sqlite:///demo.sqlite3 manage.py demo --serve"
        )


def make_login() -> str:
    """Make the demo's superuser; return the password, which is kept nowhere."""
    password = secrets.token_urlsafe(9)
    users = get_user_model()._default_manager
    user, _ = users.get_or_create(username=LOGIN, defaults={"email": LOGIN_EMAIL})
    user.is_staff = user.is_superuser = True
    user.set_password(password)
    user.save()
    return password


class Town:
    """What goes on from now on. One interval is the time from one sync to the next."""

    def __init__(
        self, screen: Screen, google: GoogleEmulator, shop: Shop, *, interval: float
    ) -> None:
        self._screen = screen
        self._google = google
        self._shop = shop
        self._interval = interval
        self._is_over = threading.Event()
        self._spell: list[Fault] = []

    def live_until(self, ending: Ending) -> None:
        """Let customers, Google and the sync go about their business until the end is asked for."""
        threads = [
            threading.Thread(target=self._guarded, args=(activity,), name=name, daemon=True)
            for name, activity in (
                ("customers", self._shop_on),
                ("google", self._have_moods),
                ("sync", self._sync_on),
            )
        ]
        for thread in threads:
            thread.start()
        try:
            ending.wait()
        finally:
            self._is_over.set()
            deadline = time.monotonic() + JOIN_SECONDS
            for thread in threads:
                thread.join(max(0, deadline - time.monotonic()))

    def _guarded(self, activity: Callable[[], None]) -> None:
        try:
            activity()
        except Exception:
            logger.exception("This part of the demo has stopped.")
        finally:
            connections.close_all()

    def _shop_on(self) -> None:
        # Not too fast: while customers keep coming, a sync keeps finding something to do.
        pause = min(max(self._interval / 12, FEWEST_SECONDS), MOST_SECONDS)
        while not self._is_over.wait(pause):
            corner.keep_claim()
            for card in self._shop.pick(self._shop.random.randrange(1, 4)):
                self._shop.serve(card)

    def _have_moods(self) -> None:
        """Trouble that begins before a sync and is over before the next one, or before its end."""
        while True:
            for wait, change in (
                (0.7, self._begin_spell),
                (1.0, self._end_spell),
                (1.1, self._begin_outage),
                (0.4, self._end_outage),
                (0.8, None),
            ):
                if self._is_over.wait(wait * self._interval):
                    return
                if change is not None:
                    change()

    def _begin_spell(self) -> None:
        cards = self._shop.pick(3)
        self._spell = [self._google.fail(object_id=card.google_object_id) for card in cards]
        for card in cards:
            self._shop.serve(card)
        self._say(f"Google begins to answer 503 for {', '.join(map(str, cards))}.")

    def _end_spell(self) -> None:
        for fault in self._spell:
            self._google.heal(fault)
        self._say("Google is well again.")

    def _begin_outage(self) -> None:
        self._google.stop()
        self._say("Google cannot be reached.")

    def _end_outage(self) -> None:
        self._google.start()
        self._say("Google can be reached again.")

    def _sync_on(self) -> None:
        next_at = time.monotonic()
        while True:
            next_at = max(next_at + self._interval, time.monotonic())
            if self._is_over.wait(next_at - time.monotonic()):
                return
            brake = Brake(self._is_over.is_set)
            # SystemExit, the brake's last resort, ends a thread without a word.
            report = sync_wallet_passes(trigger=SyncRun.Trigger.SCHEDULE, on_progress=brake)
            self._say(_line(report))

    def _say(self, text: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._screen.say(f"{datetime.now().astimezone():%H:%M:%S}  {text}")


def _line(report: SyncReport) -> str:
    cards = report.cards
    text = (
        f"Run {report.run_id} {report.status}: {cards['selected']} cards looked at,"
        f" {cards['synced']} brought up to date"
    )
    if report.failed_cards:
        codes = Counter(failure.code for failure in report.failures)
        counted = ", ".join(f"{count} {code}" for code, count in codes.most_common())
        text += f", {report.failed_cards} failed ({counted})"
    return f"{text}, {report.duration_seconds or 0:.1f} s."
