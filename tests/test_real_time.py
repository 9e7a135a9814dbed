"""Real time: a change wakes a worker after its commit, and nothing waits for the broker."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
import redis
from celery import Celery
from celery._state import get_current_app
from django.db import transaction

from loyalty_wallet import queueing
from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, SyncRun, WalletPass
from loyalty_wallet.sync import deliver_due_card, touch
from tests.servers.kinds import RedisServer
from tests.shopfront import (
    balance_at,
    configure,
    google,
    make_cards,
    pass_of,
    program,
    right_cards,
)

__all__ = ["configure", "google", "make_cards", "program", "right_cards"]

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def use_broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Point Celery at a broker for the length of a test."""
    monkeypatch.setattr(queueing, "_broker_is_down_until", 0.0)
    before = get_current_app()
    apps = []

    def use(url: str) -> None:
        apps.append(Celery("test", broker=url, set_as_current=True))

    yield use
    before.set_current()
    for app in apps:
        app.close()


@pytest.fixture
def messages(
    redis_server: RedisServer, use_broker: Callable[[str], None]
) -> Iterator[Callable[[], list[str]]]:
    """Return the names of the tasks that wait in the broker."""
    use_broker(redis_server.url)
    client = redis.Redis.from_url(redis_server.url)

    def waiting() -> list[str]:
        queued = client.lrange("celery", 0, -1)
        client.delete("celery")
        return [json.loads(message)["headers"]["task"] for message in queued]

    waiting()
    yield waiting
    client.close()


def test_a_recorded_transaction_wakes_a_worker(
    make_cards: MakeCards, messages: Callable[[], list[str]]
) -> None:
    """One message for the card, sent after the commit and not before."""
    (card,) = make_cards(1)
    messages()
    with transaction.atomic():
        card.record("earn", points=5)
        assert messages() == []
    assert messages() == ["loyalty.sync_card"]


def test_a_change_that_is_rolled_back_wakes_nobody(
    make_cards: MakeCards, messages: Callable[[], list[str]]
) -> None:
    """No commit, no message."""
    (card,) = make_cards(1)
    messages()
    with transaction.atomic():
        card.record("earn", points=5)
        transaction.set_rollback(True)
    assert messages() == []


def test_an_import_does_not_flood_the_broker(
    make_cards: MakeCards, messages: Callable[[], list[str]]
) -> None:
    """More than a hundred cards at once are left to the next run."""
    cards = make_cards(101)
    messages()
    touch(card.key for card in cards)
    assert messages() == []
    touch(card.key for card in cards[:100])
    assert messages() == ["loyalty.sync_card"] * 100


def test_a_broker_that_is_down_costs_the_customer_nothing(
    make_cards: MakeCards,
    use_broker: Callable[[str], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Case 34: the change is committed and due, there is one log line, and then a rest."""
    (card,) = make_cards(1)
    use_broker("redis://127.0.0.1:1/0")

    card.record("earn", points=5)
    card.record("earn", points=5)

    card.refresh_from_db()
    assert card.points_balance == 10
    assert pass_of(card).is_due
    assert caplog.text.count("The broker took no message") == 1


def test_a_run_that_the_broker_refused_is_on_record(
    make_cards: MakeCards, use_broker: Callable[[str], None]
) -> None:
    """It is closed as failed, and says that its passes stay due."""
    make_cards(1)
    use_broker("redis://127.0.0.1:1/0")
    run = SyncRun.objects.create(trigger="admin")

    queueing.enqueue_run(run)

    run.refresh_from_db()
    assert run.status == "failed"
    assert "stay due" in run.error


def test_without_a_broker_nothing_is_sent_and_nothing_runs(
    google: GoogleEmulator, make_cards: MakeCards
) -> None:
    """Case 68: changes stay due for the next run; nothing runs inside the request."""
    (card,) = make_cards(1)
    card.record("earn", points=5)
    assert google.requests == []
    assert pass_of(card).is_due
    with pytest.raises(RuntimeError, match="REDIS_URL"):
        queueing.enqueue_run(SyncRun.objects.create())


def test_a_burst_on_one_card_costs_one_delivery(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """The first message delivers the newest balance; the others find nothing to do."""
    (card,) = right_cards(1)
    for _ in range(5):
        card.record("earn", points=1)

    reports = [deliver_due_card(card.key) for _ in range(5)]

    assert [report.cards["selected"] for report in reports] == [1, 0, 0, 0, 0]
    assert len(google.object_requests) == 1
    assert balance_at(google, card) == 5


def test_deliveries_share_one_connection_and_one_token(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """The second card pays for no handshake and no token."""
    cards = right_cards(3)
    peers = set()
    google.on_request = lambda request: peers.add(request.token)
    for card in cards:
        card.record("earn", points=1)
        deliver_due_card(card.key)

    assert len(google.token_requests) == 0
    assert len(peers) == 1
    assert WalletPass.objects.due().count() == 0
