"""Faults to survive in one process, each injected over a real socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulator, LoggedRequest
from loyalty_wallet.models import (
    LoyaltyCard,
    LoyaltyProgram,
    SyncFailure,
    SyncRun,
    WalletPass,
)
from loyalty_wallet.sync import SyncReport, sync_card_to_wallets, sync_wallet_passes
from tests.shopfront import Configure, balance_at, pass_of

from .sources import break_deliveries_of

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db


def test_a_single_503_is_retried_and_not_a_failure(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """Case 1: one 503, then 200: success at the second attempt."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    google.fail(object_id=card.google_object_id, status=503, times=1)

    report = sync_wallet_passes()

    assert report.status == "succeeded"
    assert report.failed_card_ids == ()
    assert report.wallets["google"]["attempts"] == 2
    assert balance_at(google, card) == 5


def test_one_dead_card_of_fifty_takes_the_whole_ladder_and_delays_nobody(
    google: GoogleEmulator, configure: Configure, right_cards: MakeCards
) -> None:
    """Case 2: 503 for ever: 4 requests at 0, 1, 5 and 21 s; the other 49 go first."""
    configure(RETRY_DELAYS=[1, 4, 16])
    cards = right_cards(50)
    for card in cards:
        card.record("earn", points=1)
    dead, healthy = cards[7], cards[:7] + cards[8:]
    google.fail(object_id=dead.google_object_id, status=503)

    report = sync_wallet_passes()

    tries = [entry.arrived_at for entry in google.requests_for(dead.google_object_id)]
    assert len(tries) == 4
    assert tries[1] - tries[0] >= 1
    assert tries[2] - tries[1] >= 4
    assert tries[3] - tries[2] >= 16
    answered = [google.requests_for(card.google_object_id)[0].answered_at for card in healthy]
    assert all(moment is not None and moment < tries[2] for moment in answered)
    assert report.failed_card_ids == (dead.key,)
    assert report.cards == {
        "selected": 50,
        "synced": 49,
        "unchanged": 0,
        "failed": 1,
        "deferred": 0,
        "left": 0,
    }
    assert [alert["code"] for alert in report.alerts] == []


def test_a_failed_card_is_tried_again_without_a_new_transaction(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """Case 3: the next run takes it up, its success resolves the failure."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    fault = google.fail(object_id=card.google_object_id, status=503)
    first = sync_wallet_passes()
    assert pass_of(card).last_code == "unavailable"
    google.heal(fault)

    second = sync_wallet_passes()

    assert first.failed_card_ids == (card.key,)
    assert second.failed_card_ids == ()
    assert balance_at(google, card) == 5
    failure = SyncFailure.objects.get()
    assert failure.run_id == first.run_id
    assert failure.resolved_by_id == second.run_id
    assert failure.resolved_at is not None
    assert pass_of(card).last_code == ""
    assert pass_of(card).due_at is None


def test_a_server_that_does_not_answer_ends_at_the_total_timeout(
    google: GoogleEmulator, configure: Configure, right_cards: MakeCards
) -> None:
    """Case 6: a black hole costs one timeout per attempt and is reported as `timeout`."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    configure(timeout_seconds=0.3)
    google.misbehave("hang", object_id=card.google_object_id)

    report = sync_wallet_passes()

    (failure,) = report.failures
    assert (failure.code, failure.attempts, failure.http_status) == ("timeout", 4, None)
    assert pass_of(card).is_due


def test_a_port_that_nobody_listens_on_is_a_network_failure(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """Case 6: a refused connection is retried and reported as `network`."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    google.stop()

    report = sync_wallet_passes()

    (failure,) = report.failures
    assert (failure.code, failure.attempts) == ("network", 4)
    google.start()
    assert sync_wallet_passes().failed_card_ids == ()
    assert balance_at(google, card) == 5


def test_an_answer_just_in_time_counts_and_a_late_one_does_not(
    google: GoogleEmulator, configure: Configure, right_cards: MakeCards
) -> None:
    """Case 7: below the timeout is a success, above it the slot is free again."""
    in_time, late = right_cards(2)
    for card in (in_time, late):
        card.record("earn", points=5)
    configure(timeout_seconds=1.0, RETRY_DELAYS=[], concurrency=1)
    google.misbehave("latency", object_id=in_time.google_object_id, seconds=0.5)
    google.misbehave("latency", object_id=late.google_object_id, seconds=1.6)

    report = sync_wallet_passes()

    assert report.cards["synced"] == 1
    assert [(f.card_id, f.code) for f in report.failures] == [(late.key, "timeout")]


def test_a_card_without_a_pass_or_with_its_wallet_off_is_not_selected(
    program: LoyaltyProgram, right_cards: MakeCards, google: GoogleEmulator
) -> None:
    """Case 8: it is counted nowhere, least of all as a failure."""
    right_cards(1)
    program.google_wallet = ""
    program.save()
    without = LoyaltyCard.objects.create(program=program, card_number="NOWHERE")
    without.record("earn", points=5)

    report = sync_wallet_passes()

    assert not WalletPass.objects.filter(card_key=without.key).exists()
    assert report.cards == dict.fromkeys(report.cards, 0)
    assert report.status == "succeeded"
    assert google.object_requests == []


def test_a_token_that_expires_during_the_run_is_renewed_once(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """Case 17: a 401 costs one refresh for all, and no card."""
    cards = right_cards(20)
    for card in cards:
        card.record("earn", points=5)
    google.revoke_tokens()

    report = sync_wallet_passes()

    assert report.cards["synced"] == 20
    assert report.failed_card_ids == ()
    assert len(google.token_requests) == 1
    assert all(balance_at(google, card) == 5 for card in cards)


def test_a_revoked_key_stops_the_wallet_before_any_card_is_tried(
    google: GoogleEmulator, configure: Configure, right_cards: MakeCards
) -> None:
    """Case 18: `invalid_grant` is one clear message, the cards stay due, none is failed."""
    cards = right_cards(30)
    for card in cards:
        card.record("earn", points=5)
    configure()  # a new process: it has no token yet
    google.revoke_key()

    report = sync_wallet_passes()

    assert report.status == "failed"
    assert "unauthorized" in report.error
    assert "invalid_grant" in report.error
    assert report.untried_wallets == ("google",)
    assert report.cards["left"] == 30
    assert report.failed_card_ids == ()
    assert google.object_requests == []
    assert len(google.token_requests) == 1
    assert WalletPass.objects.due().unleased().count() == 30

    google.restore_key()
    assert sync_wallet_passes().cards["synced"] == 30


def test_a_permission_taken_away_stops_the_wallet_after_the_first_answers(
    google: GoogleEmulator, configure: Configure, right_cards: MakeCards
) -> None:
    """403 permissionDenied: what was in flight fails, the rest is left and stays due."""
    cards = right_cards(30)
    for card in cards:
        card.record("earn", points=5)
    configure(concurrency=2)
    google.deny_issuer()

    report = sync_wallet_passes()

    assert {failure.code for failure in report.failures} == {"forbidden"}
    assert 1 <= len(report.failures) <= 2
    assert report.cards["left"] == 30 - len(report.failures)
    assert len(google.object_requests) <= 2
    assert WalletPass.objects.due().unleased().count() == 30


def test_an_object_that_google_lost_is_inserted_again(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """Case 25: 404 on PATCH becomes an insert, within one attempt."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    google.forget_object(card.google_object_id)

    report = sync_wallet_passes()

    assert report.wallets["google"]["created"] == 1
    assert report.wallets["google"]["attempts"] == 1
    methods = [entry.method for entry in google.object_requests]
    assert methods == ["PATCH", "POST"]
    assert balance_at(google, card) == 5


def test_a_lost_object_is_not_inserted_when_that_is_switched_off(
    google: GoogleEmulator, configure: Configure, right_cards: MakeCards
) -> None:
    """RECREATE_MISSING = False: a pass that was there before fails with `not_found`, at once."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    google.forget_object(card.google_object_id)
    configure(RECREATE_MISSING=False)

    report = sync_wallet_passes()

    assert [(f.code, f.attempts) for f in report.failures] == [("not_found", 1)]


def test_a_lost_class_is_made_again_for_a_new_object(
    google: GoogleEmulator, right_cards: MakeCards, make_cards: MakeCards
) -> None:
    """Case 25: an insert that meets no class brings the class first."""
    right_cards(1)
    (class_id,) = google.classes
    google.forget_class(class_id)
    (card,) = make_cards(1)

    report = sync_wallet_passes()

    assert report.wallets["google"]["created"] == 1
    assert class_id in google.classes
    assert balance_at(google, card) == 0


def test_an_insert_that_meets_the_object_becomes_a_patch(
    google: GoogleEmulator, make_cards: MakeCards
) -> None:
    """Case 26: 409 on insert: somebody was faster, and the card is right all the same."""
    (card,) = make_cards(1)
    card.record("earn", points=7)
    google.fail(object_id=card.google_object_id, method="PATCH", status=404, times=1)
    google.misbehave("close_after", object_id=card.google_object_id, method="POST", times=1)
    google.fail(object_id=card.google_object_id, method="PATCH", status=404, times=1)

    report = sync_wallet_passes()

    assert report.status == "succeeded"
    statuses = [entry.status for entry in google.object_requests]
    assert statuses == [404, None, 404, 409, 200]
    assert balance_at(google, card) == 7


def test_a_refused_payload_fails_at_once_and_alone(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """Case 27: 400 is one attempt; its reason is kept, secrets and e-mails are not."""
    refused, fine = right_cards(2)
    for card in (refused, fine):
        card.record("earn", points=5)
    google.fail(
        object_id=refused.google_object_id,
        status=400,
        reason="invalidResource",
        message="Refused for ann@example.com with Bearer ya29.secret-token",
    )

    report = sync_wallet_passes()

    failure = SyncFailure.objects.get()
    assert (failure.code, failure.attempts, failure.http_status) == ("rejected", 1, 400)
    assert failure.reason == "invalidResource"
    assert "ann@example.com" not in failure.message
    assert "ya29" not in failure.message
    assert not failure.is_retryable
    assert report.failed_card_ids == (refused.key,)
    assert balance_at(google, fine) == 5


@pytest.mark.parametrize("action", ["close_before", "close_after"])
def test_a_connection_that_closes_is_retried_and_counted_once(
    google: GoogleEmulator, right_cards: MakeCards, action: Any
) -> None:
    """Case 29: whether the write was applied or not, the end is right."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    google.misbehave(action, object_id=card.google_object_id, times=1)

    report = sync_wallet_passes()

    assert report.cards["synced"] == 1
    assert report.wallets["google"]["updated"] == 1
    assert len(google.requests_for(card.google_object_id)) == 2
    assert balance_at(google, card) == 5


@pytest.mark.parametrize("action", ["reset_body", "truncated", "html"])
def test_what_is_not_an_answer_is_never_a_success(
    google: GoogleEmulator, right_cards: MakeCards, action: Any
) -> None:
    """Case 30: a torn body, cut JSON or a proxy's page with status 200 is retried, then failed."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    google.misbehave(action, object_id=card.google_object_id)

    report = sync_wallet_passes()

    (failure,) = report.failures
    assert failure.code in {"network", "unavailable"}
    assert failure.attempts == 4
    assert pass_of(card).is_due


def test_a_dripping_server_is_cut_off_at_the_total_timeout(
    google: GoogleEmulator, configure: Configure, right_cards: MakeCards
) -> None:
    """Case 32: bytes that keep coming do not extend the time."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    configure(timeout_seconds=0.4, RETRY_DELAYS=[0.05])
    google.misbehave("drip", object_id=card.google_object_id, seconds=0.1)

    report = sync_wallet_passes()

    assert [(f.code, f.attempts) for f in report.failures] == [("timeout", 2)]


@pytest.mark.parametrize(("seconds", "is_slow"), [(29.9, False), (30.0, False), (30.1, True)])
def test_a_run_is_slow_above_thirty_seconds_only(db: None, seconds: float, is_slow: bool) -> None:
    """Case 49: the alert is for runs of more than 30 s."""
    now = timezone.now()
    run = SyncRun.objects.create(
        status="succeeded", started_at=now, finished_at=now + timedelta(seconds=seconds)
    )

    alerts = SyncReport.of_run(run).alerts

    assert [alert["code"] for alert in alerts] == (["duration"] if is_slow else [])


def test_an_empty_run_succeeds(program: LoyaltyProgram, google: GoogleEmulator) -> None:
    """Case 50: no card, no request, no division by zero, and no credential is read."""
    report = sync_wallet_passes()

    assert report.status == "succeeded"
    assert report.failure_rate == 0
    assert report.cards["selected"] == 0
    assert google.requests == []


def test_objects_that_google_cannot_serve_fail_alone(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """Case 52: 5xx for some objects is no reason to stop for the others."""
    cards = right_cards(12)
    for card in cards:
        card.record("earn", points=5)
    for card in cards[:4]:
        google.fail(object_id=card.google_object_id, status=500)

    report = sync_wallet_passes()

    assert report.status == "partial"
    assert set(report.failed_card_ids) == {card.key for card in cards[:4]}
    assert all(balance_at(google, card) == 5 for card in cards[4:])


@pytest.mark.django_db(transaction=True)
def test_a_card_deleted_during_its_push_does_no_harm(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """Case 54: no crash, and nobody calls it a failure."""
    gone, stays = right_cards(2)
    for card in (gone, stays):
        card.record("earn", points=5)
    gone_id, gone_pk = gone.google_object_id, gone.pk

    def delete(request: LoggedRequest) -> None:
        if request.resource_id == gone_id:
            LoyaltyCard.objects.filter(pk=gone_pk).delete()
            connection.close()

    google.on_request = delete

    report = sync_wallet_passes()

    assert report.status == "succeeded"
    assert report.failed_card_ids == ()
    assert balance_at(google, stays) == 5
    assert google.objects[gone_id]["state"] == "INACTIVE"


def test_a_card_deleted_before_its_push_is_not_a_failure(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """Case 54: a pass whose card is gone is made inactive, and is not due any more."""
    gone, stays = right_cards(2)
    for card in (gone, stays):
        card.record("earn", points=5)
    gone_pass = pass_of(gone)
    gone.delete()

    report = sync_wallet_passes()

    assert report.status == "succeeded"
    gone_pass.refresh_from_db()
    assert gone_pass.due_at is None
    assert gone_pass.state == WalletPass.State.VOIDED
    assert google.objects[gone_pass.remote_id]["state"] == "INACTIVE"


@pytest.mark.django_db(transaction=True)
def test_a_balance_that_moves_during_its_push_is_pushed_again_in_the_same_run(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """A success is recorded only for the revision that was delivered."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    object_id = card.google_object_id
    seen: list[int] = []

    def spend_once(request: LoggedRequest) -> None:
        if request.resource_id == object_id and not seen:
            seen.append(request.sequence)
            LoyaltyCard.objects.get(pk=card.pk).record("redeem", points=2)
            connection.close()

    google.on_request = spend_once

    report = sync_wallet_passes()

    assert balance_at(google, card) == 3
    assert pass_of(card).due_at is None
    assert report.cards["selected"] == 1
    assert report.wallets["google"]["updated"] == 2


def test_a_write_whose_answer_was_lost_is_not_trusted_when_the_card_returns(
    google: GoogleEmulator, configure: Configure, right_cards: MakeCards
) -> None:
    """Google has 5 though we never heard; back at 0 the card equals what we last recorded."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    google.misbehave("close_after", object_id=card.google_object_id)
    assert sync_wallet_passes().failed_card_ids == (card.key,)
    assert balance_at(google, card) == 5
    google.heal()
    card.record("redeem", points=5)

    sync_wallet_passes()

    assert balance_at(google, card) == 0


def test_a_bug_in_the_card_source_fails_its_card_alone(
    google: GoogleEmulator,
    configure: Configure,
    right_cards: MakeCards,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever `to_card` raises is that card's `invalid_card`, with the traceback in the log."""
    broken, fine = right_cards(2)
    for card in (broken, fine):
        card.record("earn", points=5)
    LoyaltyCard.objects.filter(pk=broken.pk).update(tier="boom")
    configure(CARD_SOURCE="tests.sync.sources.ExplodingSource")

    report = sync_wallet_passes()

    (failure,) = report.failures
    assert (failure.card_id, failure.code, failure.attempts) == (broken.key, "invalid_card", 0)
    assert "RuntimeError" in caplog.text
    assert balance_at(google, fine) == 5


def test_a_poisoned_payload_fails_its_card_alone(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """A balance that no phone can show is named by its field, and nothing is sent for it."""
    poisoned, fine = right_cards(2)
    LoyaltyCard.objects.filter(pk=poisoned.pk).update(points_balance=2**31)
    for card in (poisoned, fine):
        card.record("earn", points=5)

    report = sync_wallet_passes()

    (failure,) = report.failures
    assert (failure.card_id, failure.code) == (poisoned.key, "invalid_card")
    assert "loyaltyPoints.balance" in failure.message
    assert google.requests_for(poisoned.google_object_id) == []
    assert balance_at(google, fine) == 5


def test_a_bug_in_a_wallet_fails_its_cards_and_ends_the_run_in_order(
    google: GoogleEmulator, configure: Configure, right_cards: MakeCards
) -> None:
    """An exception that nobody expected is `bug`; the run goes on and is closed."""
    cards = right_cards(3)
    for card in cards:
        card.record("earn", points=5)
    configure()
    broken = cards[1].google_object_id
    google.fail(object_id=broken, status=503)
    with break_deliveries_of(broken):
        report = sync_wallet_passes()

    assert [(f.card_id, f.code) for f in report.failures] == [(cards[1].key, "bug")]
    assert report.cards["synced"] == 2
    assert SyncRun.objects.latest("pk").finished_at is not None


def test_no_request_goes_anywhere_else_and_none_follows_a_redirect(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """A redirect is a broken configuration: the wallet stops, and the token stays here."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    with GoogleEmulator(requests_per_second=None) as elsewhere:
        google.misbehave(
            "redirect", object_id=card.google_object_id, location=f"{elsewhere.url}/steal"
        )
        report = sync_wallet_passes()
        assert elsewhere.requests == []

    assert [(f.code, f.attempts) for f in report.failures] == [("misconfigured", 1)]


def test_nothing_secret_is_written_anywhere(
    google: GoogleEmulator,
    right_cards: MakeCards,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Tokens and keys appear in no report, no table and no log line."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    caplog.set_level("DEBUG")
    sync_wallet_passes()
    token = google.object_requests[-1].token
    assert token
    google.fail(object_id=card.google_object_id, status=400, message=f"Bearer {token}")
    card.record("earn", points=5)

    report = sync_wallet_passes()

    assert report.failed_card_ids == (card.key,)

    secrets = [token, google.service_account["private_key"][40:80]]
    written = json.dumps(report.as_dict()) + caplog.text + report.error
    written += "".join(str(row) for row in SyncFailure.objects.values())
    written += "".join(str(row) for row in SyncRun.objects.values())
    written += "".join(str(row) for row in WalletPass.objects.values())
    assert not [secret for secret in secrets if secret in written]


def test_one_card_can_be_delivered_at_once(google: GoogleEmulator, right_cards: MakeCards) -> None:
    """Real time: no run is put on record, what fails stays due."""
    card, other = right_cards(2)
    runs = SyncRun.objects.count()
    for changed in (card, other):
        changed.record("earn", points=5)

    report = sync_card_to_wallets(card.key)

    assert report.run_id is None
    assert report.cards["synced"] == 1
    assert SyncRun.objects.count() == runs
    assert balance_at(google, card) == 5
    assert balance_at(google, other) == 0
    google.fail(object_id=other.google_object_id, status=503)
    report = sync_card_to_wallets(other.key)
    assert report.failed_card_ids == (other.key,)
    assert [failure.code for failure in report.failures] == ["unavailable"]
    assert pass_of(other).is_due
