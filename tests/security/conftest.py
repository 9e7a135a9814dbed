from __future__ import annotations

import pytest
from django.core.cache import cache

from tests.admin.conftest import boss, login
from tests.phonefront import apns, authority, configure_apple
from tests.shopfront import configure, google, make_cards, program, right_cards

__all__ = [
    "apns",
    "authority",
    "boss",
    "configure",
    "configure_apple",
    "google",
    "login",
    "make_cards",
    "program",
    "right_cards",
]


@pytest.fixture(autouse=True)
def _no_limits_from_other_tests() -> None:
    cache.clear()
