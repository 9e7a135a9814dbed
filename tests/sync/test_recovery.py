"""Dead leaders, abandoned runs and lost messages: somebody goes on, and the record says so."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.exceptions import SyncInTransactionError
from loyalty_wallet.models import LoyaltyCard, SyncRun, SyncState, WalletPass
from loyalty_wallet.sync import (
    Selection,
    deliver_overdue,
    help_with_run,
    queue_wallet_sync,
    sync_card_to_wallets,
    sync_wallet_passes,
)
from loyalty_wallet.sync.runs import LEASE_SCOPE, OpenRun
from tests.shopfront import balance_at, pass_of

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db

LONG_AGO = timedelta(hours=2)


def begin_and_die(selection: Selection) -> SyncRun:
    """Open a run, and let nothing be heard of it any more."""
    run = SyncRun(selection=selection.as_json())
    opened = OpenRun.begin(run, is_full=selection.is_full).run
    SyncState.objects.filter(scope=LEASE_SCOPE).update(expires_at=timezone.now() - LONG_AGO)
    SyncRun.objects.filter(pk=opened.pk).update(heartbeat_at=timezone.now() - LONG_AGO)
    return opened


@pytest.mark.parametrize("kind", ["full", "selected"])
def test_a_helper_goes_on_in_the_place_of_a_dead_leader(
    google: GoogleEmulator, right_cards: MakeCards, kind: str
) -> None:
    """It delivers what is due, and closes the run that nobody else would close."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    run = begin_and_die(Selection() if kind == "full" else Selection.of_cards([card.key]))

    help_with_run(run)

    run.refresh_from_db()
    assert run.status == "succeeded"
    assert run.active_key is None
    assert balance_at(google, card) == 5
    assert len(google.object_requests) == 1


def test_a_helper_leaves_a_living_run_to_its_leader(
    right_cards: MakeCards, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits until the leader has closed it, and changes nothing."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    leader = OpenRun.begin(SyncRun(selection=Selection().as_json()), is_full=True)
    looks = []

    def close_at_the_third_look(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            leader.close(SyncRun.Status.PARTIAL, error="", card_counts={})

    monkeypatch.setattr("loyalty_wallet.sync.recovery.time.sleep", close_at_the_third_look)

    help_with_run(leader.run)

    leader.run.refresh_from_db()
    assert (leader.run.status, leader.run.resumes) == ("partial", 0)
    assert len(looks) == 3


def test_a_full_run_closes_what_was_abandoned(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """A dead run of selected cards, and one that no worker took, go on record; their cards go out."""
    dead_card, queued_card, waiting_card = right_cards(3)
    dead = begin_and_die(Selection.of_cards([dead_card.key]))
    dead_card.record("earn", points=5)
    queued, waiting = (
        queue_wallet_sync(Selection.of_cards([card.key]), trigger="admin", force=True)
        for card in (queued_card, waiting_card)
    )
    SyncRun.objects.filter(pk=queued.pk).update(created_at=timezone.now() - LONG_AGO)

    report = sync_wallet_passes()

    statuses = dict(SyncRun.objects.values_list("pk", "status"))
    assert (statuses[dead.pk], statuses[queued.pk]) == ("interrupted", "interrupted")
    assert statuses[waiting.pk] == "queued"
    assert report.cards["synced"] == 3
    assert balance_at(google, dead_card) == 5


def test_what_real_time_has_lost_is_delivered_within_minutes(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """Without a run on record; what has just become due or has failed is left alone."""
    overdue, fresh, failed = right_cards(3)
    runs = SyncRun.objects.count()
    for card in (overdue, fresh, failed):
        card.record("earn", points=5)
    WalletPass.objects.exclude(card_key=fresh.key).update(due_at=timezone.now() - LONG_AGO)
    WalletPass.objects.filter(card_key=failed.key).update(last_code="unavailable")

    assert deliver_overdue() == 1

    assert [balance_at(google, card) for card in (overdue, fresh, failed)] == [5, 0, 0]
    assert SyncRun.objects.count() == runs
    assert deliver_overdue() == 0


def test_overdue_passes_are_left_to_a_run_that_is_going(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """It delivers them itself."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    WalletPass.objects.update(due_at=timezone.now() - LONG_AGO)
    OpenRun.begin(SyncRun(selection=Selection().as_json()), is_full=True)

    assert deliver_overdue() == 0
    assert google.object_requests == []


@pytest.mark.django_db(transaction=True)
def test_nothing_is_sent_within_a_transaction(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """A balance that may be rolled back must not reach a phone, nor a lease that nobody sees count."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    with pytest.raises(SyncInTransactionError, match="on_commit"), transaction.atomic():
        sync_wallet_passes()
    with pytest.raises(SyncInTransactionError), transaction.atomic():
        sync_wallet_passes(selection={"kind": "cards", "cards": [card.key]})
    with pytest.raises(SyncInTransactionError), transaction.atomic():
        sync_card_to_wallets(card.key)
    assert google.object_requests == []
    assert pass_of(card).is_due
    assert sync_wallet_passes().cards["synced"] == 1
