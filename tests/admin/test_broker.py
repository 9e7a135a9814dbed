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
from loyalty_wallet.admin import plans
from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, SyncRun, WalletPass
from loyalty_wallet.tasks import drain_run
from tests.shopfront import balance_at

from .pages import ask, confirm, list_url, page_url, resync, sync_url, text_of

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
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a broker the request sends nothing: it queues one run and wakes one worker."""
    cards = right_cards(30)
    monkeypatch.setattr(queueing, "has_live_worker", lambda: True)
    question = ask(boss, list_url("loyaltycard"), [card.pk for card in cards])
    assert "A worker sends them in the background" in text_of(question)
    assert "Worker alive" in text_of(question)
    message = resync(boss, "loyaltycard", [card.pk for card in cards], force=True)
    run = SyncRun.objects.get(trigger="admin")
    assert message.startswith("30 cards are queued for a worker. <a")
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


def test_silent_workers_are_told_before_and_after(
    boss: Client, right_cards: MakeCards, queue: Callable[[], list[list[int]]]
) -> None:
    """Nobody answers the ping: the card is queued all the same, and the command line is shown."""
    (card,) = right_cards(1)
    question = ask(boss, list_url("loyaltycard"), [card.pk])
    line = f"manage.py sync_wallet_passes --card {card.pk}"
    assert (
        f"No worker answers. The cards are queued all the same; to send them without a worker, run: {line}"
        in text_of(question)
    )
    message = resync(boss, "loyaltycard", [card.pk])
    assert "No worker answers, so it may wait." in message
    assert f"<code>{line}</code>" in message
    assert len(queue()) == 1


def test_one_click_is_queued_too(
    boss: Client,
    right_cards: MakeCards,
    google: GoogleEmulator,
    queue: Callable[[], list[list[int]]],
) -> None:
    """A button sends nothing itself where a worker can."""
    (card,) = right_cards(1)
    boss.post(sync_url("loyaltycard", card.pk), {"force": "on"})
    run = SyncRun.objects.get(trigger="admin")
    assert queue() == [[run.pk]]
    assert run.options == {"force": True, "notify": False}
    assert google.object_requests == []


def test_wish_to_notify_goes_with_the_run(
    boss: Client,
    right_cards: MakeCards,
    google: GoogleEmulator,
    queue: Callable[[], list[list[int]]],
) -> None:
    """The worker that carries the run out tells the customers."""
    (card,) = right_cards(1)
    card.record("earn", points=9)
    url = list_url("loyaltycard")
    confirm(boss, url, ask(boss, url, [card.pk]), notify=True)
    ((run_id,),) = queue()
    drain_run(run_id)
    (entry,) = google.object_requests
    assert entry.body["notifyPreference"] == "NOTIFY_ON_UPDATE"


def test_so_many_cards_that_no_run_keeps_their_keys(
    boss: Client,
    right_cards: MakeCards,
    google: GoogleEmulator,
    queue: Callable[[], list[list[int]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are marked, forced where that was asked for, and a run over what is due is queued."""
    monkeypatch.setattr(plans, "MOST_CARDS_ON_RUN", 3)
    cards = right_cards(5)
    cards[0].record("earn", points=1)
    url = list_url("walletpass")
    pks = list(WalletPass.objects.order_by("pk").values_list("pk", flat=True))
    question = ask(boss, url, pks[1:])
    assert "They are so many that its run is about everything that is due." in text_of(question)
    confirm(boss, url, question, force=True, notify=True)
    run = SyncRun.objects.get(trigger="admin")
    assert run.selection == {"kind": "due"}
    assert not run.notifies
    assert (
        list(WalletPass.objects.filter(is_forced=True).order_by("pk").values_list("pk", flat=True))
        == pks[1:]
    )
    ((run_id,),) = queue()
    drain_run(run_id)
    assert len(google.object_requests) == 5
