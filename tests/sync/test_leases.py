"""One writer per pass: leases that end, are renewed, lost and taken over."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db.models import Q

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.exceptions import LeaseLostError
from loyalty_wallet.models import DatabaseNow, LoyaltyCard, WalletPass
from loyalty_wallet.sync import Selection, sync_wallet_passes
from loyalty_wallet.sync.leases import Lease, claim
from loyalty_wallet.sync.ledger import Ledger
from loyalty_wallet.sync.pump.jobs import Job, JobOutcome
from tests.shopfront import Configure, balance_at, pass_of

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db


def expire(lease: Lease) -> None:
    """Let the lease end without a release, as if its holder had died."""
    WalletPass.objects.filter(lease_token=lease.token).update(
        lease_until=DatabaseNow() - timedelta(seconds=1)
    )


def test_an_expired_lease_is_taken_over_and_counted(make_cards: MakeCards) -> None:
    """A released lease is no takeover, an expired one is."""
    make_cards(1)
    lease, rows = claim(Q(), limit=1)
    assert rows[0].takeovers == 0
    expire(lease)

    _, again = claim(Q(), limit=1)

    assert again[0].takeovers == 1


def test_after_a_takeover_an_equal_card_is_sent_all_the_same(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """The dead worker's request may have landed: nothing is known of what the phone shows."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    lease, _ = claim(Q(), limit=1)
    google.edit_object(card.google_object_id, loyaltyPoints={"balance": {"int": 5}})
    expire(lease)
    card.record("redeem", points=5)

    report = sync_wallet_passes()

    assert report.wallets["google"]["updated"] == 1
    assert balance_at(google, card) == 0
    assert pass_of(card).takeovers == 0


def test_no_request_starts_when_the_lease_ends_too_soon() -> None:
    """The lease must outlive the request's own time limit."""
    lease = Lease(20)
    lease.check(1, needed_seconds=15)
    with pytest.raises(LeaseLostError):
        lease.check(1, needed_seconds=21)


def test_a_renewal_notices_what_is_lost(make_cards: MakeCards) -> None:
    """A pass that somebody else holds now is not ours to deliver, the others are."""
    make_cards(2)
    lease, rows = claim(Q(), limit=2)
    taken, kept = rows
    WalletPass.objects.filter(pk=taken.pk).update(lease_token="somebody else")

    lease.renew()

    lease.check(kept.pk, needed_seconds=15)
    with pytest.raises(LeaseLostError):
        lease.check(taken.pk, needed_seconds=15)


def test_the_record_of_a_lost_lease_changes_nothing(make_cards: MakeCards) -> None:
    """Completion only with the token: the new holder's work stands."""
    (card,) = make_cards(1)
    lease, rows = claim(Q(), limit=1)
    expire(lease)
    newer, _ = claim(Q(), limit=1)
    job = Job(row=rows[0], lease=lease, fingerprint="stale")
    job.finish(JobOutcome.UPDATED)

    counts = Ledger(None, worker="test").record("google", [job])

    assert not counts
    row = pass_of(card)
    assert (row.lease_token, row.fingerprint) == (newer.token, "")
    assert row.is_due


def test_a_pass_leased_elsewhere_is_left_to_its_holder(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """Selected cards go around it, and it stays due."""
    mine, theirs = right_cards(2)
    for card in (mine, theirs):
        card.record("earn", points=5)
    claim(Q(card_key=theirs.key), limit=1)

    report = sync_wallet_passes(selection=Selection.of_cards([mine.key, theirs.key]))

    assert report.cards["selected"] == 1
    assert google.requests_for(theirs.google_object_id) == []
    assert pass_of(theirs).is_due


def test_a_full_run_waits_for_a_dead_worker_s_leases(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """It does not end before what another worker held is delivered, by it or by us."""
    mine, theirs = right_cards(2)
    for card in (mine, theirs):
        card.record("earn", points=5)
    claim(Q(card_key=theirs.key), limit=1)
    WalletPass.objects.filter(card_key=theirs.key).update(
        lease_until=DatabaseNow() + timedelta(seconds=1)
    )

    report = sync_wallet_passes()

    assert report.cards["synced"] == 2
    assert balance_at(google, theirs) == 5


def lease_ends(row: WalletPass | LoyaltyCard) -> bool:
    """Say whether the lease on a card's pass lasts for longer than a minute from now."""
    later = DatabaseNow() + timedelta(seconds=60)
    return WalletPass.objects.filter(pk=row.pk, lease_until__gt=later).exists()


def test_a_renewal_lasts_from_now_and_is_for_what_is_not_yet_recorded(
    make_cards: MakeCards, configure: Configure
) -> None:
    """What was recorded since the claim is nobody's any more, and stays so."""
    configure(LEASE_SECONDS=120)
    recorded, going = (pass_of(card) for card in make_cards(2))
    lease, _ = claim(Q(), limit=2)
    WalletPass.objects.update(lease_until=DatabaseNow() + timedelta(seconds=5))
    lease.pks.discard(recorded.pk)

    lease.renew()

    assert lease_ends(going)
    assert not lease_ends(recorded)
    lease.check(going.pk, needed_seconds=100)


def test_what_is_lost_stays_lost(make_cards: MakeCards) -> None:
    """One renewal does not forget what another has found out."""
    first, second, third = (pass_of(card) for card in make_cards(3))
    lease, _ = claim(Q(), limit=3)
    for row in (first, second):
        WalletPass.objects.filter(pk=row.pk).update(lease_token="of-another")
        lease.renew()
        lease.pks.discard(row.pk)

    assert lease.lost == {first.pk, second.pk}
    lease.check(third.pk, needed_seconds=1)
    for row in (first, second):
        with pytest.raises(LeaseLostError):
            lease.check(row.pk, needed_seconds=1)


def test_a_lease_of_nothing_is_renewed_for_nobody(make_cards: MakeCards) -> None:
    """A claim that found nothing harms no other."""
    lease, rows = claim(Q(), limit=3)
    make_cards(1)
    lease.renew()
    assert rows == []
    assert not WalletPass.objects.filter(lease_until__isnull=False).exists()
