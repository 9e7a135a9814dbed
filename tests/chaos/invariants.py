"""What must hold whatever was killed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

import redis
from django.apps import apps

from loyalty_wallet.emulator import GoogleEmulator, LoggedRequest
from loyalty_wallet.models import LoyaltyCard, SyncBatch, SyncFailure, SyncRun, WalletPass

from .world import REQUESTS_PER_SECOND, RETRY_DELAYS, SECRET, World

SUCCESSES = ("created", "updated", "unchanged")
MOST_ATTEMPTS = len(RETRY_DELAYS) + 1
CROWDING = 1.25
"""On a busy machine requests bunch on their way; `test_shared_quota` holds to the letter."""


def check_invariants(world: World) -> None:
    """Assert all that must hold once nothing is under way any more."""
    check_one_writer_at_a_time(world.google)
    check_balances_never_go_back(world.google)
    failed = check_every_pass_is_right_or_failed(world)
    completions = count_completions()
    assert world.owed - failed <= completions <= world.owed - failed + world.perhaps_twice
    check_attempts(world.google)
    assert busiest_second(world.google) <= CROWDING * REQUESTS_PER_SECOND + 1
    assert not SyncRun.objects.filter(status=SyncRun.Status.RUNNING).exists()
    assert not SyncRun.objects.exclude(active_key=None).exists()
    check_nothing_secret_was_written(world)


def check_attempts(google: GoogleEmulator) -> None:
    """At most four attempts, and between them at least the pauses of the ladder."""
    assert not SyncFailure.objects.filter(attempts__gt=MOST_ATTEMPTS).exists()
    by_worker: dict[tuple[str | None, str | None], list[LoggedRequest]] = defaultdict(list)
    for request in google.object_requests:
        by_worker[request.resource_id, request.token].append(request)
    for requests in by_worker.values():
        failures = 0
        for earlier, later in pairwise(requests):
            failures = failures + 1 if has_failed(earlier) else 0
            if 0 < failures < MOST_ATTEMPTS:
                gap = later.arrived_at - earlier.arrived_at
                assert gap >= RETRY_DELAYS[failures - 1], f"{earlier.resource_id} after {gap} s"


def has_failed(request: LoggedRequest) -> bool:
    return request.status is None or request.status == 429 or request.status >= 500


def busiest_second(google: GoogleEmulator) -> int:
    """Return how many requests about cards arrived in the fullest second, wherever it begins."""
    arrivals = [request.arrived_at for request in google.object_requests]
    return max(
        (sum(start <= arrival < start + 1 for arrival in arrivals) for start in arrivals), default=0
    )


def check_nothing_secret_was_written(world: World) -> None:
    """No token and no key is in an output, a log, a table or a message."""
    key = world.google.service_account["private_key"].splitlines()[1]
    tokens = {request.token for request in world.google.requests if request.token}
    for text in written(world):
        assert SECRET not in text
        assert key not in text
        assert "PRIVATE KEY" not in text
        assert not [token for token in tokens if token in text]


def written(world: World) -> Iterator[str]:
    for worker in world.workers:
        yield worker.output
        yield worker.log
    for model in apps.get_app_config("loyalty_wallet").get_models():
        for row in model._default_manager.values():
            yield str(row)
    try:
        with redis.Redis.from_url(world.redis_url, socket_timeout=5) as broker:
            yield from (str(value) for value in broker.lrange("celery", 0, -1))
            yield from (str(value) for value in broker.hgetall("unacked").values())
    except (redis.RedisError, ValueError):
        # The test has no broker, or has killed it.
        return


def check_one_writer_at_a_time(google: GoogleEmulator) -> None:
    """No two processes have a request about one card under way at once."""
    assert count_overlaps(google) == 0


def count_overlaps(google: GoogleEmulator) -> int:
    """Count requests about one object that began while another process' was under way.

    A process is told by its access token. A client's own retry after its timeout may arrive
    before the server has noticed that the first connection is gone: that is one writer still.
    """
    by_object: dict[str, list[LoggedRequest]] = {}
    for request in google.object_requests:
        by_object.setdefault(request.resource_id or "", []).append(request)
    return sum(
        first.token != second.token
        and (first.answered_at is None or first.answered_at > second.arrived_at)
        for requests in by_object.values()
        for first, second in pairwise(requests)
    )


def check_balances_never_go_back(google: GoogleEmulator) -> None:
    """Balances only rise in these tests, so what a phone shows must only rise."""
    for object_id in google.objects:
        balances = applied_balances(google, object_id)
        assert balances == sorted(balances), f"{object_id} went back: {balances}"


def applied_balances(google: GoogleEmulator, object_id: str) -> list[int]:
    """Return the balances that took effect, in order."""
    return [
        write.body["loyaltyPoints"]["balance"]["int"]
        for write in google.applied_writes(object_id)
        if "loyaltyPoints" in write.body
    ]


def check_every_pass_is_right_or_failed(world: World) -> int:
    """Each phone shows the card's balance, or the pass is on record as failed and due.

    Returns how many are failed.
    """
    balances = {card.key: card.points_balance for card in LoyaltyCard.objects.all()}
    objects = world.google.objects
    failed = 0
    for row in WalletPass.objects.all():
        if row.last_code and row.due_at is not None:
            assert SyncFailure.objects.open().filter(wallet_pass=row).exists()
            failed += 1
            continue
        assert row.due_at is None, f"{row.card_key} is due still"
        assert not row.lease_token
        assert row.lease_until is None
        shown = objects[row.remote_id]["loyaltyPoints"]["balance"]["int"]
        assert shown == balances[row.card_key], f"{row.card_key} shows {shown}"
    return failed


def count_completions() -> int:
    """Add up what all runs say that they have brought up to date."""
    counts = SyncBatch.objects.values_list("counts", flat=True)
    return sum(batch.get(name, 0) for batch in counts for name in SUCCESSES)
