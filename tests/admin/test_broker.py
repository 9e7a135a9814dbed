"""The re-sync action with a broker: a run on record, one message, one task published."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery import current_app
from django.test import Client
from kombu import pools

from loyalty_wallet import queueing
from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, SyncRun, WalletPass
from loyalty_wallet.tasks import drain_run
from tests.shopfront import balance_at

from .pages import ask, list_url, page_url, resync, text_of

MakeCards = Callable[[int], list[LoyaltyCard]]

app: Any = current_app
pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def broker(url: str) -> Iterator[None]:
    """Let Celery use this broker, and nothing that it kept of another one."""
    before = app.conf.broker_url
    app.conf.broker_url = url
    _forget_connections()
    try:
        yield
    finally:
        app.conf.broker_url = before
        _forget_connections()


def _forget_connections() -> None:
    pools.reset()
    app.amqp._producer_pool = None
    app._pool = None


@pytest.fixture
def queue() -> Iterator[Callable[[], list[list[int]]]]:
    """A broker in memory; what it returns takes the arguments of the runs that workers are told of."""
    with broker("memory://loyalty-wallet-admin"):

        def take() -> list[list[int]]:
            taken = []
            with app.connection_for_read() as connection:
                simple = connection.SimpleQueue(app.conf.task_default_queue)
                while simple.qsize():
                    message = simple.get(block=False)
                    message.ack()
                    # Cards that are touched may be pushed in real time as well.
                    if message.headers["task"] == "loyalty.drain_run":
                        taken.append(message.payload[0])
                simple.close()
            return taken

        take()
        yield take


def test_run_is_queued_and_one_task_published(
    boss: Client,
    right_cards: MakeCards,
    google: GoogleEmulator,
    queue: Callable[[], list[list[int]]],
) -> None:
    """With a broker the request sends nothing: it queues one run and wakes one worker."""
    cards = right_cards(30)
    question = ask(boss, list_url("loyaltycard"), [card.pk for card in cards])
    assert "A worker sends them in the background" in text_of(question)
    message = resync(boss, "loyaltycard", [card.pk for card in cards], force=True)
    run = SyncRun.objects.get(trigger="admin")
    assert message.startswith("30 cards are queued for a worker.")
    assert page_url("syncrun", run.pk) in message
    assert run.status == SyncRun.Status.QUEUED
    assert run.requested_by is not None
    assert run.selection == {"kind": "cards", "cards": run.selection["cards"]}
    assert set(run.selection["cards"]) == {card.key for card in cards}
    assert queue() == [[run.pk]]
    assert google.object_requests == []
    assert WalletPass.objects.due().filter(is_forced=True).count() == 30


def test_worker_carries_the_queued_run_out(
    boss: Client,
    right_cards: MakeCards,
    google: GoogleEmulator,
    queue: Callable[[], list[list[int]]],
) -> None:
    """What the published task does is what was asked for, in the run that was shown."""
    (card,) = right_cards(1)
    card.record("earn", points=9)
    resync(boss, "loyaltycard", [card.pk])
    ((run_id,),) = queue()
    drain_run(run_id)
    assert balance_at(google, card) == 9
    assert SyncRun.objects.get(pk=run_id).status == SyncRun.Status.SUCCEEDED


def test_dead_broker_leaves_a_failed_run_and_due_passes(
    boss: Client,
    right_cards: MakeCards,
    google: GoogleEmulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When the broker does not answer, the run is on record as failed and nothing is lost."""
    # It is remembered for a while that the broker is down; not beyond this test.
    monkeypatch.setattr(queueing, "_broker_is_down_until", 0.0)
    (card,) = right_cards(1)
    with broker("redis://127.0.0.1:1/0"):
        message = resync(boss, "loyaltycard", [card.pk])
    run = SyncRun.objects.get(trigger="admin")
    assert message.startswith("The broker did not take the run. The passes stay due")
    assert "manage.py sync_wallet_passes" in message
    assert page_url("syncrun", run.pk) in message
    assert run.status == SyncRun.Status.FAILED
    assert "broker" in run.error
    assert WalletPass.objects.due().count() == 1
    assert google.object_requests == []
