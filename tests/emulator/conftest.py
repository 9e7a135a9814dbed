"""An emulated Google and a client that has signed in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from loyalty_wallet.emulator import GoogleEmulator

from .client import Client


@pytest.fixture
def google() -> Iterator[GoogleEmulator]:
    """An emulated Google without quota, empty."""
    with GoogleEmulator(requests_per_second=None) as emulator:
        yield emulator


@pytest.fixture
def anonymous(google: GoogleEmulator) -> Iterator[Client]:
    """A client without an access token."""
    client = Client(google.url, google.service_account)
    with client.session:
        yield client


@pytest.fixture
def client(anonymous: Client) -> Client:
    """A client with an access token."""
    anonymous.sign_in()
    return anonymous


@pytest.fixture
def shop(client: Client) -> Client:
    """A client whose class and object exist already."""
    assert client.insert_class().status_code == 200
    assert client.insert_object().status_code == 200
    return client
