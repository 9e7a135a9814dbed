"""What a record leaves for the next worker, when workers died or crossed before it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db.models import Q
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.exceptions import DeferredError, UnavailableError
from loyalty_wallet.models import (
    DatabaseNow,
    LoyaltyCard,
    LoyaltyProgram,
    SyncFailure,
    SyncRun,
    WalletPass,
)
from loyalty_wallet.registry import get_wallets
from loyalty_wallet.sync import Selection, sync_wallet_passes
from loyalty_wallet.sync.leases import KILLER_AFTER, Lease, claim
from loyalty_wallet.sync.ledger import Ledger
from loyalty_wallet.sync.pump.jobs import Job, JobOutcome
from loyalty_wallet.sync.pump.rendering import Renderer
from tests.shopfront import balance_at, pass_of

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db


def claim_one(*, is_for_suspects: bool = False) -> tuple[Lease, Job]:
    """Claim and render as a worker does; the job is not delivered."""
    lease, rows = claim(Q(), limit=1, is_for_suspects=is_for_suspects)
    (job,) = Renderer(get_wallets()["google"]).render(lease, rows)
    return lease, job


def let_end(lease: Lease) -> None:
    """Let the lease end without a release, as if its holder had died."""
    WalletPass.objects.filter(lease_token=lease.token).update(
        lease_until=DatabaseNow() - timedelta(seconds=1)
    )


def record(job: Job) -> None:
    Ledger(None, worker="test").record("google", [job])


def die_after_a_request_for(card: LoyaltyCard, google: GoogleEmulator) -> None:
    """Put 5 points on the phone that the shop's database does not know to be there."""
    card.record("earn", points=5)
    lease, _ = claim_one()
    google.edit_object(card.google_object_id, loyaltyPoints={"balance": {"int": 5}})
    let_end(lease)


def assert_phone_is_put_right(card: LoyaltyCard, google: GoogleEmulator) -> None:
    """Let the card return to what was recorded last; that must be sent all the same."""
    card.record("redeem", points=5)
    assert sync_wallet_passes().status == "succeeded"
    assert balance_at(google, card) == 0


def test_a_doubt_after_a_takeover_outlives_a_worker_that_sends_nothing(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """The breaker opens before the second worker can ask: nothing is known of the phone yet."""
    (card,) = right_cards(1)
    die_after_a_request_for(card, google)

    _, job = claim_one()
    job.finish(JobOutcome.DEFERRED, DeferredError("The provider is down."))
    record(job)

    assert_phone_is_put_right(card, google)


def test_a_doubt_outlives_that_the_pass_is_set_aside(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """One of the workers that a pass has killed may have sent it before."""
    (card,) = right_cards(1)
    die_after_a_request_for(card, google)
    WalletPass.objects.update(takeovers=KILLER_AFTER)

    _, job = claim_one(is_for_suspects=True)
    record(job)

    assert pass_of(card).state == WalletPass.State.SET_ASIDE
    assert_phone_is_put_right(card, google)


def test_a_doubt_outlives_that_the_program_leaves_the_wallet(
    google: GoogleEmulator, right_cards: MakeCards, program: LoyaltyProgram
) -> None:
    """The program comes back to the wallet, and its cards to what they showed before."""
    (card,) = right_cards(1)
    die_after_a_request_for(card, google)

    program.google_wallet = ""
    program.save()
    _, job = claim_one()
    assert job.outcome is JobOutcome.SKIPPED
    record(job)
    program.google_wallet = "google"
    program.save()

    assert_phone_is_put_right(card, google)


def test_a_failure_written_behind_a_worker_s_back_is_resolved_by_its_success(
    right_cards: MakeCards,
) -> None:
    """Its lease ended, another run deferred the pass, and the answer came all the same."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    lease, job = claim_one()
    let_end(lease)
    Ledger(SyncRun.objects.create(), worker="another").defer("google", Q(), reason="Down.")
    assert SyncFailure.objects.open().exists()

    job.finish(JobOutcome.UPDATED)
    record(job)

    assert not pass_of(card).is_due
    assert not SyncFailure.objects.open().exists()


def test_an_order_to_send_again_outlives_the_record_of_who_holds_the_pass(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """A worker that found nothing to send does not settle an order given since its claim."""
    (card,) = right_cards(1)
    WalletPass.objects.all().touch()
    _, job = claim_one()
    assert job.outcome is JobOutcome.UNCHANGED

    Selection().mark_due(is_forced=True)
    record(job)

    assert sync_wallet_passes().cards["synced"] == 1
    assert len(google.requests_for(card.google_object_id)) == 1


@pytest.mark.parametrize(
    ("outcome", "attempts", "was_tried"),
    [
        (JobOutcome.UPDATED, 1, True),
        (JobOutcome.UNCHANGED, 0, True),
        (JobOutcome.FAILED, 4, True),
        (JobOutcome.FAILED, 0, True),
        (JobOutcome.DEFERRED, 1, True),
        (JobOutcome.DEFERRED, 0, False),
        (JobOutcome.RELEASED, 0, False),
    ],
)
def test_when_a_pass_was_tried_is_on_record(
    right_cards: MakeCards, outcome: JobOutcome, attempts: int, was_tried: bool
) -> None:
    """Each attempt is one, and so is a card that cannot be rendered; a deferral untried is none."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    WalletPass.objects.update(tried_at=None)
    _, job = claim_one()
    job.attempts = attempts
    job.finish(outcome)
    record(job)

    tried_at = pass_of(card).tried_at
    assert (tried_at is not None) == was_tried
    if tried_at is not None:
        assert abs(tried_at - timezone.now()) < timedelta(seconds=5)


def test_what_was_recorded_is_renewed_no_more(make_cards: MakeCards) -> None:
    """The lease forgets it, and nobody records it twice."""
    make_cards(1)
    lease, job = claim_one()
    job.finish(JobOutcome.UPDATED)

    record(job)

    assert job.is_recorded
    assert lease.pks == set()


def test_a_failure_keeps_what_the_provider_said(make_cards: MakeCards) -> None:
    """Whoever reads it later has nothing else."""
    make_cards(1)
    run = SyncRun.objects.create(trigger="api", selection={"kind": "due"}, status="running")
    _, job = claim_one()
    job.attempts = 2
    said = UnavailableError("Busy.", http_status=503, reason="backendError")
    job.finish(JobOutcome.FAILED, said)

    Ledger(run, worker="test").record("google", [job])

    failure = SyncFailure.objects.get()
    assert (failure.run, failure.wallet_pass_id) == (run, job.row.pk)
    assert (failure.code, failure.message) == ("unavailable", "Busy.")
    assert (failure.http_status, failure.reason) == (503, "backendError")
    assert (failure.attempts, failure.is_retryable) == (2, True)


def test_a_deferral_is_on_record_as_not_tried(make_cards: MakeCards) -> None:
    """Each pass says which run left it; the failures, that there was no attempt."""
    cards = make_cards(3)
    run = SyncRun.objects.create(trigger="api", selection={"kind": "due"}, status="running")

    counts = Ledger(run, worker="test").defer("google", Q(), reason="The provider is down.")

    assert counts == {"deferred": 3}
    assert list(run.batches.values_list("wallet", "counts")) == [("google", {"deferred": 3})]
    for row in map(pass_of, cards):
        assert (row.last_run, row.last_outcome) == (run, "deferred")
        assert row.due_at is not None
    failures = SyncFailure.objects.filter(run=run)
    assert {(row.code, row.message, row.attempts) for row in failures} == {
        ("deferred", "The provider is down.", 0)
    }
    assert failures.count() == 3
