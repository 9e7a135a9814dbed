"""The browser tests' own tools work, and notice what they should."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from .chromium import ChromiumNotInstalledError, find_chromium
from .conftest import OpenPage
from .expecting import expect


def test_missing_chromium_says_what_to_install() -> None:
    """Whoever lacks the browser reads what to do about it."""
    with pytest.raises(ChromiumNotInstalledError, match="apt-get install chromium"):
        find_chromium(path="")


def test_page_can_be_used_beside_queries(page: OpenPage, boss: Client) -> None:
    """Playwright's event loop stays out of the way of the database, before and after."""
    User.objects.create(username="ada")
    window = page("/admin/auth/user/", client=boss)
    expect(window.page.get_by_role("link", name="ada")).to_be_visible()
    window.page.get_by_role("link", name="Add user").click()
    expect(window.page).to_have_url(re.compile(r"/admin/auth/user/add/$"))
    assert User.objects.filter(username="ada").exists()


def test_axe_and_policy_find_what_is_wrong(page: OpenPage) -> None:
    """A page with an inline style and an image without a text does not get through."""
    window = page("/admin/login/")
    assert window.serious_violations() == []
    window.page.evaluate(
        "document.querySelector('#login-form').insertAdjacentHTML('beforeend',"
        ' \'<img src="/static/admin/img/icon-yes.svg"><p style="color: red">Red</p>\')'
    )
    window.page.wait_for_function("document.querySelector('img').complete")
    assert [finding.split(":")[0] for finding in window.serious_violations()] == ["image-alt"]
    assert ["style-src" in problem for problem in window.problems] == [True]
    window.problems.clear()


def test_pages_are_as_wide_and_as_dark_as_asked(page: OpenPage) -> None:
    """What a phone in the dark shows is what its test looks at."""
    window = page("/admin/login/", size="phone", scheme="dark", system="iphone")
    assert window.page.evaluate("innerWidth") == 390
    assert window.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") is True
    assert "iPhone" in window.page.evaluate("navigator.userAgent")
    assert not window.scrolls_sideways()
