"""Connections that look alive and are not, as a router leaves them that forgets idle ones."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard
from loyalty_wallet.sync import deliver_due_card
from tests.shopfront import Configure, balance_at

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db


class Router:
    """Passes bytes on, until it forgets the connections that it knows: from then on they are mute."""

    def __init__(self, url: str) -> None:
        self._target = (urlsplit(url).hostname, urlsplit(url).port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.connections = 0
        self._forgotten = 0
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def forget(self) -> None:
        self._forgotten = self.connections

    def close(self) -> None:
        for each in (self._listener, *self._open):
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._target)
            self.connections += 1
            self._open += [near, far]
            for source, sink in ((near, far), (far, near)):
                arguments = (source, sink, self.connections)
                threading.Thread(target=self._pass_on, args=arguments, daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, number: int) -> None:
        try:
            while data := source.recv(65536):
                if number > self._forgotten:
                    sink.sendall(data)
        except OSError:
            return


@pytest.fixture
def router(google: GoogleEmulator) -> Iterator[Router]:
    router = Router(google.url)
    yield router
    router.close()


def test_a_connection_that_a_router_has_forgotten_costs_one_attempt(
    google: GoogleEmulator, configure: Configure, right_cards: MakeCards, router: Router
) -> None:
    """Case 31: its silence ends at the total timeout, and the next attempt makes a new one."""
    cards = right_cards(2)
    configure(api_url=router.url, timeout_seconds=0.5)
    cards[0].record("earn", points=5)
    assert deliver_due_card(cards[0].key).cards["synced"] == 1
    assert router.connections == 1
    router.forget()
    cards[1].record("earn", points=5)

    report = deliver_due_card(cards[1].key)

    assert report.cards["synced"] == 1
    assert report.wallets["google"]["attempts"] == 2
    assert router.connections == 2
    assert balance_at(google, cards[1]) == 5
