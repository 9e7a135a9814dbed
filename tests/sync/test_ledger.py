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
    LoyaltyCard,
    LoyaltyProgram,
    SyncFailure,
    SyncRun,
    WalletPass,
)
from loyalty_wallet.sync import Selection, sync_wallet_passes
from loyalty_wallet.sync.leases import KILLER_AFTER
from loyalty_wallet.sync.ledger import Ledger
from loyalty_wallet.sync.pump.jobs import JobOutcome
from tests.shopfront import balance_at, pass_of
from tests.sync.recording import claim_all, claim_one, let_end, record

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db


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


def test_a_batch_counts_what_became_of_its_jobs(make_cards: MakeCards) -> None:
    """By outcome, with the attempts and requests of all, and who recorded them."""
    make_cards(4)
    run = SyncRun.objects.create(status="running")
    jobs = claim_all()
    outcomes = (
        JobOutcome.CREATED,
        JobOutcome.UPDATED,
        JobOutcome.FAILED,
        JobOutcome.RELEASED,
    )
    for number, (job, outcome) in enumerate(zip(jobs, outcomes, strict=True), start=1):
        job.attempts, job.requests = number, 10 * number
        job.is_muted = number <= 2
        job.finish(outcome)

    counts = Ledger(run, worker="test").record("google", jobs)

    expected = {"created": 1, "updated": 1, "failed": 1}
    assert counts == {**expected, "attempts": 10, "requests": 100, "muted": 2}
    (batch,) = run.batches.all()
    assert (batch.wallet, batch.worker, batch.counts) == ("google", "test", counts)


def test_requests_of_a_job_that_came_to_nothing_are_counted(make_cards: MakeCards) -> None:
    """And where there was not even a request, there is nothing to count."""
    make_cards(1)
    run = SyncRun.objects.create(status="running")
    for requests, batches in ((0, []), (1, [{"attempts": 0, "requests": 1}])):
        _, job = claim_one()
        job.requests = requests
        job.finish(JobOutcome.RELEASED)
        Ledger(run, worker="test").record("google", [job])
        assert list(run.batches.values_list("counts", flat=True)) == batches


def test_whoever_lost_the_lease_writes_nothing_and_says_so(
    right_cards: MakeCards, caplog: pytest.LogCaptureFixture
) -> None:
    """Another worker holds one pass, one is gone: the third is recorded all the same."""
    cards = right_cards(3)
    for card in cards:
        card.record("earn", points=5)
    jobs = claim_all()
    for job in jobs:
        job.finish(JobOutcome.UPDATED)
    taken, gone, ours = jobs
    WalletPass.objects.filter(pk=taken.row.pk).update(lease_token="another's")
    WalletPass.objects.filter(pk=gone.row.pk).delete()

    counts = Ledger(None, worker="test").record("google", jobs)

    assert [job.is_recorded for job in (taken, gone, ours)] == [False, False, True]
    assert counts["updated"] == 1
    assert WalletPass.objects.get(pk=taken.row.pk).is_due
    assert not WalletPass.objects.get(pk=ours.row.pk).is_due
    warnings = [entry.message for entry in caplog.records if entry.levelname == "WARNING"]
    assert warnings == ["2 passes were taken over by another worker."]


def test_whoever_kept_all_leases_warns_of_nothing(
    make_cards: MakeCards, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning in each batch would be read by nobody."""
    make_cards(1)
    _, job = claim_one()
    job.finish(JobOutcome.CREATED)
    record(job)
    assert not [entry for entry in caplog.records if entry.levelname == "WARNING"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (WalletPass.Priority.NORMAL, WalletPass.Priority.FAILED),
        (WalletPass.Priority.FAILED, WalletPass.Priority.FAILED),
        (WalletPass.Priority.ASKED, WalletPass.Priority.ASKED),
    ],
)
def test_a_failed_pass_is_free_again_and_comes_early_next_time(
    make_cards: MakeCards, before: WalletPass.Priority, after: WalletPass.Priority
) -> None:
    """Its takeovers are forgotten: whoever recorded it is alive."""
    (card,) = make_cards(1)
    WalletPass.objects.update(takeovers=1, priority=before)
    _, job = claim_one()
    job.finish(JobOutcome.FAILED, UnavailableError("503"))
    record(job)

    row = pass_of(card)
    assert (row.lease_token, row.lease_until, row.takeovers) == ("", None, 0)
    assert (row.is_due, row.priority) == (True, after)


def test_what_was_given_back_is_free_again(make_cards: MakeCards) -> None:
    """As it was before the claim."""
    (card,) = make_cards(1)
    _, job = claim_one()
    job.finish(JobOutcome.RELEASED)
    record(job)
    assert (pass_of(card).lease_token, pass_of(card).lease_until) == ("", None)


def test_a_request_without_an_answer_leaves_no_fingerprint(right_cards: MakeCards) -> None:
    """What the phone shows is not known: whatever comes next is sent."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    _, job = claim_one()
    job.requests = 1
    job.finish(JobOutcome.FAILED, UnavailableError("No answer."))
    record(job)
    assert pass_of(card).fingerprint == ""


def test_a_success_says_which_run_resolved_the_failure(right_cards: MakeCards) -> None:
    """And what was shown since when, to the second that the shop said."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    card.expires_at = timezone.now() + timedelta(days=30, microseconds=7)
    card.save()
    first, second = SyncRun.objects.create(), SyncRun.objects.create()
    for run, outcome in ((first, JobOutcome.FAILED), (second, JobOutcome.UPDATED)):
        _, job = claim_one()
        job.finish(outcome)
        Ledger(run, worker="test").record("google", [job])

    failure = SyncFailure.objects.get()
    assert (failure.run, failure.resolved_by) == (first, second)
    row = pass_of(card)
    assert (row.fingerprint, row.expires_at) == (job.fingerprint, card.expires_at)
    assert row.payload["loyaltyPoints"]["balance"] == {"int": 5}
