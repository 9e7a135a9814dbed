"""Playwright's `expect`, which waits until the page is as it should be, for stand-ins."""

from __future__ import annotations

from typing import Any, cast

from playwright.sync_api import Expect
from playwright.sync_api import expect as real_expect

from .thread import StandIn


def _expect(actual: Any, message: str | None = None) -> Any:
    assert isinstance(actual, StandIn)
    return actual._thread.run(cast(Any, real_expect), actual, message)


expect: Expect = cast(Any, _expect)
