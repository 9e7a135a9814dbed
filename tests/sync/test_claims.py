"""Which passes a claim takes, in which order, and that nobody else gets them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F, Q
from django.test.utils import CaptureQueriesContext

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import DatabaseNow, LoyaltyCard, WalletPass
from loyalty_wallet.sync import sync_wallet_passes
from loyalty_wallet.sync.leases import claim
from tests.shopfront import Configure, balance_at, pass_of

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("strategy", ["auto", "cas"])
def test_a_claimed_pass_is_not_claimed_again(
    make_cards: MakeCards, configure: Configure, strategy: str
) -> None:
    """Two claims share the due passes between them."""
    configure(CLAIM_STRATEGY=strategy)
    make_cards(5)

    _, first = claim(Q(), limit=3)
    _, second = claim(Q(), limit=10)

    assert len(first) == 3
    assert len(second) == 2
    assert not {row.pk for row in first} & {row.pk for row in second}


def test_the_claim_repeats_the_whole_due_predicate(make_cards: MakeCards) -> None:
    """What another worker delivered between the read and the update is not claimed."""
    cards = make_cards(2)
    # The first that is read: the claim looks for these before all others.
    WalletPass.objects.update(priority=WalletPass.Priority.ASKED)
    finished = pass_of(cards[0])

    class Interloper:
        """Delivers one pass right after the claim has read it."""

        done = False

        def __call__(self, execute, sql, params, many, context):  # type: ignore[no-untyped-def]
            result = execute(sql, params, many, context)
            if sql.startswith("SELECT") and "lease_until" in sql and not self.done:
                self.done = True
                WalletPass.objects.filter(pk=finished.pk).update(due_at=None)
            return result

    with connection.execute_wrapper(Interloper()):
        _, rows = claim(Q(), limit=10)

    assert [row.card_key for row in rows] == [cards[1].key]


def test_failed_ones_come_first_then_the_longest_due(make_cards: MakeCards) -> None:
    """What a person asked for leads, then what failed last time, then age decides."""
    cards = make_cards(4)
    now = DatabaseNow()
    for age, (card, priority) in enumerate(zip(cards, [0, 1, 0, 2], strict=True), start=1):
        WalletPass.objects.filter(card_key=card.key).update(
            priority=priority, due_at=now - timedelta(minutes=age)
        )

    _, rows = claim(Q(), limit=10)

    assert [row.card_key for row in rows] == [cards[i].key for i in (3, 1, 2, 0)]


def test_set_aside_passes_are_not_claimed(make_cards: MakeCards) -> None:
    """They stay due and wait for a change or a person."""
    (card,) = make_cards(1)
    WalletPass.objects.update(state=WalletPass.State.SET_ASIDE)

    assert claim(Q(), limit=10)[1] == []
    card.record("earn", points=1)
    assert len(claim(Q(), limit=10)[1]) == 1


def test_claiming_costs_the_same_queries_for_few_and_many(make_cards: MakeCards) -> None:
    """A claim is a constant number of statements."""
    make_cards(40)
    with CaptureQueriesContext(connection) as few:
        claim(Q(), limit=2)
    with CaptureQueriesContext(connection) as many:
        claim(Q(), limit=30)
    assert len(few) == len(many)


def test_a_pass_that_may_kill_its_worker_is_claimed_alone(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """Suspects wait until nothing else is in flight, then go one by one."""
    cards = right_cards(4)
    for card in cards:
        card.record("earn", points=1)
    WalletPass.objects.filter(card_key__in=[cards[0].key, cards[1].key]).update(takeovers=2)

    _, rows = claim(Q(), limit=10)
    assert {row.card_key for row in rows} == {cards[2].key, cards[3].key}
    _, rows = claim(Q(), limit=10, is_for_suspects=True)
    assert len(rows) == 2
    WalletPass.objects.update(lease_until=None)

    report = sync_wallet_passes()

    assert report.cards["synced"] == 4
    order = [entry.resource_id for entry in google.object_requests]
    assert set(order[2:]) == {cards[0].google_object_id, cards[1].google_object_id}
    assert not WalletPass.objects.exclude(takeovers=0).exists()


def test_a_pass_that_has_killed_too_often_is_set_aside_untried(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """It is reported as a bug with the reason, and nothing is sent for it."""
    killer, fine = right_cards(2)
    for card in (killer, fine):
        card.record("earn", points=1)
    WalletPass.objects.filter(card_key=killer.key).update(takeovers=4)

    report = sync_wallet_passes()

    (failure,) = report.failures
    assert (failure.card_id, failure.code, failure.attempts) == (killer.key, "bug", 0)
    assert "died 4 times" in failure.message
    assert pass_of(killer).state == WalletPass.State.SET_ASIDE
    assert google.requests_for(killer.google_object_id) == []
    assert balance_at(google, fine) == 1


def test_suspects_are_claimed_by_who_asks_for_them(make_cards: MakeCards) -> None:
    """Neither among the others nor with them."""
    suspect, other = (pass_of(card) for card in make_cards(2))
    WalletPass.objects.filter(pk=suspect.pk).update(takeovers=2)

    _, rows = claim(Q(), limit=10)
    _, suspects = claim(Q(), limit=10, is_for_suspects=True)

    assert [row.pk for row in rows] == [other.pk]
    assert [row.pk for row in suspects] == [suspect.pk]


def test_programs_share_a_claim_evenly(make_cards: MakeCards) -> None:
    """One program's import does not push the others out; what is free goes to the longest due."""
    many = [pass_of(card) for card in make_cards(10)]
    few = many[6:]
    WalletPass.objects.update(due_at=F("due_at") - timedelta(hours=1))
    WalletPass.objects.filter(pk__in=[row.pk for row in few]).update(
        program_key="small", due_at=F("due_at") + timedelta(minutes=1)
    )
    [big] = {row.program_key for row in many}

    _, rows = claim(Q(), limit=5, programs=[big, "small", "none"])

    claimed = [row.program_key for row in rows]
    assert (len(claimed), claimed.count("small")) == (5, 1)
    _, rest = claim(Q(), limit=4, programs=[big, "small"])
    assert [row.program_key for row in rest].count("small") == 2


def test_a_pass_that_somebody_claims_first_is_not_ours(make_cards: MakeCards) -> None:
    """Between the read and the update it went to another: it is neither written nor returned."""
    mine, stolen = (pass_of(card) for card in make_cards(2))
    # The first that is read: the claim looks for these before all others.
    WalletPass.objects.update(priority=WalletPass.Priority.ASKED)
    is_done = False

    def interfere(execute, sql, params, many, context):  # type: ignore[no-untyped-def]
        nonlocal is_done
        result = execute(sql, params, many, context)
        if sql.startswith("SELECT") and not is_done:
            is_done = True
            WalletPass.objects.filter(pk=stolen.pk).update(
                lease_token="of-another", lease_until=DatabaseNow() + timedelta(seconds=60)
            )
        return result

    with connection.execute_wrapper(interfere):
        lease, rows = claim(Q(), limit=10)

    assert lease.pks == {row.pk for row in rows} == {mine.pk}
    stolen.refresh_from_db()
    assert stolen.lease_token == "of-another"
