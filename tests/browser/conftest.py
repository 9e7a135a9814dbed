"""Fixtures: a browser, a live site, and pages of every size, colour scheme and kind of phone.

A test that asks for `page` calls it:

    window = page("/admin/", size="phone", scheme="dark", client=boss)
    expect(window.page.get_by_role("heading")).to_have_text("Site administration")

Everything that belongs to the browser may be used beside queries and syncs (see `thread`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import pytest
from django.test import Client
from playwright.sync_api import BrowserContext
from pytest_django.live_server_helper import LiveServer

from tests.phonefront import apns, authority, configure_apple
from tests.servers.fixtures import skip_or_fail
from tests.shopfront import configure, google, make_cards, program, right_cards

from .chromium import Browser, ChromiumNotInstalledError, Window, log_in, running_browser

__all__ = [
    "apns",
    "authority",
    "configure",
    "configure_apple",
    "google",
    "make_cards",
    "program",
    "right_cards",
]


class OpenPage(Protocol):
    """Open a page of the live site, by path or URL, in a fresh profile."""

    def __call__(self, url: str, *, client: Client | None = None, **options: Any) -> Window: ...


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The browser; a test that needs it is skipped where there is none, and fails in CI."""
    try:
        with running_browser() as browser:
            yield browser
    except ChromiumNotInstalledError as error:
        skip_or_fail(str(error))


@pytest.fixture
def live_site(live_server: LiveServer) -> str:
    """The URL of the reference project, served with its styles from the test's own database."""
    return str(live_server.url)


@pytest.fixture
def page(chromium: Browser, live_site: str) -> Iterator[OpenPage]:
    """Opens pages: `size` desktop or phone, `scheme` light or dark, `system` linux, iphone, android.

    `client` is a test client whose login the browser gets; other options are Playwright's own for
    a context. Fails the test in the end if the browser complained of a page.
    """
    contexts: list[BrowserContext] = []
    windows: list[Window] = []

    def open_page(url: str, *, client: Client | None = None, **options: Any) -> Window:
        context = chromium.context(base_url=live_site, **options)
        contexts.append(context)
        if client is not None:
            log_in(context, client, live_site)
        window = chromium.window(context)
        windows.append(window)
        window.page.goto(url)
        return window

    yield open_page
    problems = [problem for window in windows for problem in window.problems]
    for context in contexts:
        context.close()
    assert not problems


@pytest.fixture
def boss(admin_client: Client) -> Client:
    """A client that may do everything; the pytest-django one, for `page(..., client=boss)`."""
    return admin_client
