"""A provider that asks for time gets it from all processes, and no run waits longer than it should."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, SyncFailure, WalletPass
from loyalty_wallet.sync import deliver_due_card, sync_wallet_passes
from tests.servers import RedisServer
from tests.shopfront import Configure, pass_of

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "asked",
    [(429, 2, 2), (503, 1, 1), (429, None, 1)],
    ids=["429 with Retry-After", "503 with Retry-After", "429 without"],
)
def test_a_pause_holds_for_the_whole_wallet(
    google: GoogleEmulator,
    configure: Configure,
    right_cards: MakeCards,
    asked: tuple[int, int | None, int],
) -> None:
    """Case 4: nobody sends anything before the time is over."""
    status, retry_after, seconds = asked
    cards = right_cards(10)
    for card in cards:
        card.record("earn", points=5)
    configure(concurrency=1)
    google.fail(endpoint="object", status=status, retry_after=retry_after, times=1)

    report = sync_wallet_passes()

    first, second = google.object_requests[:2]
    assert first.status == status
    assert first.answered_at is not None
    assert second.arrived_at - first.answered_at >= seconds - 0.01
    assert report.cards["synced"] == 10


def test_a_long_retry_after_defers_the_card(google: GoogleEmulator, right_cards: MakeCards) -> None:
    """More than 30 s is left to the next run; the card counts as deferred, and stays due."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    google.fail(object_id=card.google_object_id, status=503, retry_after=120)

    report = sync_wallet_passes()

    assert report.cards["deferred"] == 1
    assert report.failed_card_ids == (card.key,)
    assert [(f.code, f.attempts) for f in report.failures] == [("deferred", 1)]
    assert pass_of(card).is_due


@pytest.fixture
def forgetful_redis(redis_server: RedisServer) -> Iterator[str]:
    """A Redis that keeps no pause for the tests that come after."""
    yield redis_server.url
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushdb()


@pytest.mark.parametrize("place", ["database", "redis"])
def test_a_long_pause_is_kept_by_every_process(
    google: GoogleEmulator,
    configure: Configure,
    right_cards: MakeCards,
    request: pytest.FixtureRequest,
    place: str,
) -> None:
    """One asks in vain; all that is due is deferred, also by who comes later, without a request."""
    cards = right_cards(40)
    url = request.getfixturevalue("forgetful_redis") if place == "redis" else ""
    configure(requests_per_second=100, concurrency=2, BATCH_SIZE=10, RATE_LIMIT_REDIS_URL=url)
    for card in cards:
        card.record("earn", points=5)
    google.fail(endpoint="object", status=429, retry_after=600, times=2)

    told = sync_wallet_passes()
    requests = len(google.object_requests)
    later = sync_wallet_passes()
    pushed = deliver_due_card(cards[0].key)

    assert requests <= 2
    assert len(google.object_requests) == requests
    assert [told.cards["deferred"], later.cards["deferred"]] == [40, 40]
    assert pushed.cards["deferred"] == 1
    assert SyncFailure.objects.filter(run=later.run_id, code="deferred").count() == 40
    assert WalletPass.objects.due().unleased().count() == 40
