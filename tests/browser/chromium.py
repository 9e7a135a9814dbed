"""Finds and starts Debian's Chromium, opens pages as a person would, and looks at them."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import zxingcpp
from axe_playwright_python.sync_playwright import Axe
from django.test import Client
from PIL import Image
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, sync_playwright

from .thread import BrowserThread, real

SCREENSHOTS = Path(__file__).parent / "screenshots"
TIMEOUT_MILLISECONDS = 10_000
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Whatever a page asks for, nothing leaves this machine.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)

Size = Literal["desktop", "phone"]
Scheme = Literal["light", "dark"]
System = Literal["linux", "iphone", "android"]

SIZES: dict[Size, tuple[int, int]] = {"desktop": (1280, 900), "phone": (390, 844)}
USER_AGENTS: dict[System, str] = {
    "linux": (
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/142.0.0.0 Safari/537.36"
    ),
    "iphone": (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 "
        "(KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1"
    ),
    "android": (
        "Mozilla/5.0 (Linux; Android 16; Pixel 10) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/142.0.0.0 Mobile Safari/537.36"
    ),
}


class ChromiumNotInstalledError(Exception):
    """There is no Chromium on this machine; the message says what to install."""


def find_chromium(path: str | None = None) -> str:
    """Return where Chromium is. Raises ChromiumNotInstalledError."""
    for name in ("chromium", "chromium-browser"):
        if found := shutil.which(name, path=path):
            return found
    raise ChromiumNotInstalledError(
        "Browser tests need Debian's Chromium: install it with `apt-get install chromium`."
    )


class Window:
    """A page, and what went wrong in it."""

    def __init__(self, page: Page, thread: BrowserThread) -> None:
        self.page = page
        self.problems: list[str] = []
        """What the browser complained of: errors in the console, scripts that broke, resources
        that did not come. The status of the page itself is none."""
        self._thread = thread
        self._real_page: Page = real(page)
        page.on("console", self._note_console)
        page.on("pageerror", self._note_exception)
        page.on("requestfailed", self._note_failure)

    def serious_violations(self) -> list[str]:
        """Return what axe-core holds against the page as it is now."""
        results = self._thread.run(Axe().run, self.page).response["violations"]
        return [
            f"{violation['id']}: {violation['help']}: {node['html']}"
            for violation in results
            if violation["impact"] in ("serious", "critical")
            for node in violation["nodes"]
        ]

    def shoot(self, name: str) -> None:
        """Leave a picture of the whole page in `tests/browser/screenshots`, for a person to see."""
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    def codes(self) -> list[str]:
        """Scan the page as it looks now; return what its codes say, from its top to its bottom."""
        with Image.open(io.BytesIO(self.page.screenshot(full_page=True))) as picture:
            found = zxingcpp.read_barcodes(picture.convert("L"))
        found.sort(key=lambda code: (code.position.top_left.y, code.position.top_left.x))
        return [code.text for code in found]

    def scrolls_sideways(self) -> bool:
        """Say whether something sticks out of the page."""
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        return bool(self.page.evaluate(wide))

    def tab_stops(self, most: int = 50) -> list[str]:
        """Press Tab through the page from its top; return the text of what had the focus."""
        self.page.evaluate("document.activeElement.blur()")
        stops: list[str] = []
        for _ in range(most):
            self.page.keyboard.press("Tab")
            text = self.page.evaluate(
                "document.activeElement === document.body ? null :"
                " document.activeElement.innerText || document.activeElement.ariaLabel || ''"
            )
            if text is None:
                break
            stops.append(re.sub(r"\s+", " ", text).strip())
        return stops

    # These are called in the browser's thread.

    def _note_console(self, message: ConsoleMessage) -> None:
        # The status of the page itself is told here too, and the icon is the browser's own wish.
        url = message.location["url"]
        is_expected = url.endswith("/favicon.ico") or url == self._real_page.url
        if message.type == "error" and not is_expected:
            self.problems.append(f"console: {message.text}")

    def _note_exception(self, error: Any) -> None:
        self.problems.append(f"script: {error}")

    def _note_failure(self, request: Request) -> None:
        # A navigation that turns into a download is given up, and what a page still loads when it
        # is left: neither is a failure.
        is_given_up = request.failure == "net::ERR_ABORTED"
        if not (is_given_up or request.is_navigation_request()):
            self.problems.append(f"request: {request.url} {request.failure}")


class Browser:
    """The session's Chromium. Every page gets a profile of its own."""

    def __init__(self, chromium: Chromium, thread: BrowserThread) -> None:
        self._chromium = chromium
        self._thread = thread

    def context(
        self,
        *,
        size: Size = "desktop",
        scheme: Scheme = "light",
        system: System = "linux",
        **options: Any,
    ) -> BrowserContext:
        """Return a fresh profile: no cookies, the language English unless `options` say else."""
        width, height = SIZES[size]
        context = self._chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            user_agent=USER_AGENTS[system],
            is_mobile=size == "phone",
            has_touch=size == "phone",
            **{"locale": "en", **options},
        )
        context.set_default_timeout(TIMEOUT_MILLISECONDS)
        return context

    def window(self, context: BrowserContext) -> Window:
        return Window(context.new_page(), self._thread)


def log_in(context: BrowserContext, client: Client, url: str) -> None:
    """Give the browser the session of a test client that is logged in."""
    cookie = client.cookies["sessionid"]
    context.add_cookies([{"name": "sessionid", "value": cookie.value, "url": url}])


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Start Chromium. Raises ChromiumNotInstalledError."""
    path = find_chromium()
    thread = BrowserThread()
    try:
        playwright = thread.run(sync_playwright().start)
        try:
            chromium = playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
            yield Browser(chromium, thread)
            chromium.close()
        finally:
            playwright.stop()
    finally:
        thread.close()
