from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from tests.phonefront import apns, authority, configure_apple
from tests.shopfront import configure, google, make_cards, program, right_cards

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


@pytest.fixture
def login(db: None) -> Callable[..., Client]:
    """Log in as staff who hold these permissions of our app."""

    def make(*codenames: str) -> Client:
        user = User.objects.create(username="clerk", is_staff=True)
        permissions = Permission.objects.filter(
            content_type__app_label="loyalty_wallet", codename__in=codenames
        )
        assert permissions.count() == len(codenames)
        user.user_permissions.set(permissions)
        client = Client()
        client.force_login(user)
        return client

    return make


@pytest.fixture
def boss(db: None) -> Client:
    """A client that may do everything."""
    client = Client()
    client.force_login(User.objects.create(username="boss", is_staff=True, is_superuser=True))
    return client
