"""What must hold whatever was killed."""

from __future__ import annotations

from itertools import pairwise

from loyalty_wallet.emulator import GoogleEmulator, LoggedRequest
from loyalty_wallet.models import LoyaltyCard, SyncBatch, SyncFailure, SyncRun, WalletPass

from .world import World

SUCCESSES = ("created", "updated", "unchanged")
MOST_ATTEMPTS = 4


def check_invariants(world: World) -> None:
    """Assert all that must hold once nothing is under way any more."""
    check_one_writer_at_a_time(world.google)
    check_balances_never_go_back(world.google)
    failed = check_every_pass_is_right_or_failed(world)
    completions = count_completions()
    assert world.owed - failed <= completions <= world.owed - failed + world.perhaps_twice
    assert not SyncFailure.objects.filter(attempts__gt=MOST_ATTEMPTS).exists()
    assert not SyncRun.objects.filter(status=SyncRun.Status.RUNNING).exists()
    assert not SyncRun.objects.exclude(active_key=None).exists()


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
