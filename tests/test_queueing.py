"""Whether a worker is alive, asked so that no page waits for the answer."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery import current_app

from loyalty_wallet import queueing

app: Any = current_app


@pytest.fixture(autouse=True)
def _asked_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queueing, "_last_ping", None)


@contextmanager
def broker(url: str | None) -> Iterator[None]:
    before = app.conf.broker_url
    app.conf.broker_url = url
    try:
        yield
    finally:
        app.conf.broker_url = before


def test_without_a_broker_no_worker_is_asked() -> None:
    """A project without Celery's broker has no workers."""
    with broker(None):
        assert not queueing.has_live_worker()


def test_nobody_answers_and_that_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker without workers; the next page within seconds does not ask again."""
    with broker("memory://loyalty-wallet-dead"):
        assert not queueing.has_live_worker()
        monkeypatch.setattr(queueing, "_ping", lambda: True)
        assert not queueing.has_live_worker()
        monkeypatch.setattr(queueing, "REMEMBERED_SECONDS", 0)
        assert queueing.has_live_worker()


def test_a_broker_that_takes_calls_and_says_nothing_holds_nobody_up() -> None:
    """A frozen broker: the question is given up, and the answer is no."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with broker(f"redis://127.0.0.1:{port}/0"):
            assert not queueing.has_live_worker()
