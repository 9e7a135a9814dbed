"""The reference project plus `tests.shop`, an app with a card table of its own."""

from __future__ import annotations

from project.settings import *  # noqa: F403
from project.settings import INSTALLED_APPS as PROJECT_APPS
from project.settings import MIDDLEWARE as PROJECT_MIDDLEWARE

INSTALLED_APPS = [*PROJECT_APPS, "tests.shop"]
# A page that needs more than this is found out by the browser tests.
MIDDLEWARE = ["tests.browser.policy.strict_policy", *PROJECT_MIDDLEWARE]
