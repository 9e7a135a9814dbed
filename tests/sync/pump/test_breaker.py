"""The circuit breaker: plainly down is plainly down, and nothing less."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, SyncFailure, WalletPass
from loyalty_wallet.sync import Selection, sync_wallet_passes
from loyalty_wallet.sync.pump.breaker import Breaker
from tests.shopfront import Configure

MakeCards = Callable[[int], list[LoyaltyCard]]


def note(breaker: Breaker, answers: str) -> None:
    """Let it see good (g), bad (b) and late (t) attempts."""
    for answer in answers:
        breaker.note(is_good=answer == "g", is_timeout=answer == "t")


@pytest.mark.parametrize(
    ("answers", "is_open"),
    [
        ("b" * 19, False),
        ("b" * 20, True),
        ("t" * 19, False),
        ("g" * 5 + "b" * 19, False),
        ("g" * 5 + "b" * 20, True),
        ("gbbb" * 50, False),
        ("t" * 19 + "g" + "t" * 19, True),
        ("g" * 200 + "t" * 19, False),
        ("g" * 200 + "t" * 20, True),
        ("g" * 1000, False),
    ],
)
def test_it_opens_when_the_provider_is_plainly_down(answers: str, is_open: bool) -> None:
    """80 % of the last 50 attempts, of at least 20; or 20 timeouts in a row."""
    breaker = Breaker(is_armed=True)
    note(breaker, answers)
    assert breaker.is_open is is_open


def test_it_closes_when_the_provider_is_back() -> None:
    """8 good ones of the last 10; and it takes a new outage to open it again."""
    breaker = Breaker(is_armed=True)
    note(breaker, "b" * 30 + "g" * 7)
    assert breaker.is_open
    note(breaker, "g")
    assert not breaker.is_open
    note(breaker, "b" * 10)
    assert not breaker.is_open


def test_failing_cards_speak_once() -> None:
    """Their retries do not open it, but they keep it open."""
    breaker = Breaker(is_armed=True)
    for _ in range(100):
        breaker.note(is_good=False, is_timeout=True, is_retry=True)
    assert not breaker.is_open
    note(breaker, "b" * 20)
    assert breaker.is_open
    for answer in "gggggbbbggg":
        breaker.note(is_good=answer == "g", is_retry=True)
    assert breaker.is_open


def test_only_timeouts_in_a_row_open_it_at_twenty() -> None:
    """A good or a quick bad answer between them begins the count again."""
    breaker = Breaker(is_armed=True)
    note(breaker, "g" * 200 + "t" * 19 + "b" + "t" * 19)
    assert not breaker.is_open
    note(breaker, "t")
    assert breaker.is_open


def test_the_share_is_that_of_the_last_fifty() -> None:
    """A long good past hides no outage, and one that is over is forgotten when it closes."""
    breaker = Breaker(is_armed=True)
    note(breaker, "g" * 1000 + "b" * 39)
    assert not breaker.is_open
    note(breaker, "b")
    assert breaker.is_open
    note(breaker, "g" * 8 + "b" * 19)
    assert not breaker.is_open
    note(breaker, "b")
    assert breaker.is_open


def test_unarmed_it_stays_closed() -> None:
    """Small runs take every card through all its attempts."""
    breaker = Breaker(is_armed=False)
    note(breaker, "b" * 500)
    assert not breaker.is_open


def test_a_partial_outage_never_opens_it() -> None:
    """30 % at random is where retries pay."""
    chance = random.Random(7)
    breaker = Breaker(is_armed=True)
    for _ in range(20_000):
        breaker.note(is_good=chance.random() > 0.3)
        assert not breaker.is_open


def make_all_due() -> None:
    """Have every pass sent again, changed or not."""
    WalletPass.objects.touch()
    WalletPass.objects.update(is_forced=True)


@pytest.mark.django_db
class TestOutage:
    def test_few_requests_and_everything_on_record(
        self, google: GoogleEmulator, right_cards: MakeCards
    ) -> None:
        """Case 19, small: the run ends early, failed and deferred are all, the next run heals."""
        right_cards(400)
        make_all_due()
        google.fail(status=503)

        report = sync_wallet_passes()

        assert len(google.object_requests) <= 200
        assert report.status == "failed"
        assert report.cards["failed"] + report.cards["deferred"] == 400
        assert report.cards["left"] == 0
        assert len(report.failed_card_ids) == 400
        assert {failure.code for failure in report.failures} == {"unavailable", "deferred"}
        assert WalletPass.objects.due().unleased().count() == 400

        google.heal()
        assert sync_wallet_passes().cards["synced"] == 400
        assert not SyncFailure.objects.open().exists()

    def test_a_provider_that_hangs_costs_few_timeouts(
        self, google: GoogleEmulator, configure: Configure, right_cards: MakeCards
    ) -> None:
        """Case 20, small: twenty timeouts in a row are enough, whatever the share of the failures."""
        right_cards(300)
        configure(timeout_seconds=0.3, concurrency=10)
        make_all_due()
        google.misbehave("hang")

        report = sync_wallet_passes()

        assert len(google.object_requests) <= 160
        assert report.status == "failed"
        assert report.cards["failed"] + report.cards["deferred"] == 300
        assert {failure.code for failure in report.failures} == {"timeout", "deferred"}
        assert WalletPass.objects.due().unleased().count() == 300

    def test_up_to_a_hundred_due_passes_get_all_their_attempts(
        self, google: GoogleEmulator, configure: Configure, right_cards: MakeCards
    ) -> None:
        """The runbook holds to the letter for small runs."""
        right_cards(40)
        configure(RETRY_DELAYS=[0.01, 0.01, 0.01])
        make_all_due()
        google.fail(status=503)

        report = sync_wallet_passes()

        assert report.cards["failed"] == 40
        assert len(google.object_requests) == 160

    def test_a_short_outage_is_survived_within_the_run(
        self, google: GoogleEmulator, configure: Configure, right_cards: MakeCards
    ) -> None:
        """Case 21, small: what was begun finds Google back, and the rest goes on."""
        right_cards(150)
        configure(RETRY_DELAYS=[0.3, 0.6, 1.2])
        make_all_due()
        google.fail(status=503, times=40)

        report = sync_wallet_passes()

        assert report.cards["synced"] == 150
        assert report.failed_card_ids == ()

    def test_a_random_third_of_failures_is_worked_off(
        self, google: GoogleEmulator, configure: Configure, right_cards: MakeCards
    ) -> None:
        """Case 22, small: no card has more than four attempts, and none is deferred."""
        cards = right_cards(150)
        configure(RETRY_DELAYS=[0.02, 0.05, 0.1])
        make_all_due()
        google.fail(status=503, probability=0.3)

        report = sync_wallet_passes()

        assert report.cards["deferred"] == 0
        assert report.cards["failed"] <= 10
        assert max(len(google.requests_for(card.google_object_id)) for card in cards) <= 4

    def test_deferred_passes_can_be_taken_up_by_their_run(
        self, google: GoogleEmulator, right_cards: MakeCards
    ) -> None:
        """--run takes what that run deferred, claimed or not."""
        right_cards(300)
        make_all_due()
        google.fail(status=503)
        outage = sync_wallet_passes()
        google.heal()
        assert outage.run_id is not None

        report = sync_wallet_passes(selection=Selection.of_run(outage.run_id))

        assert report.cards["synced"] == 300

    def test_cards_that_always_fail_do_not_pass_for_an_outage(
        self, google: GoogleEmulator, configure: Configure, right_cards: MakeCards
    ) -> None:
        """They come first in the next run, and all others are delivered after them."""
        cards = right_cards(300)
        configure(RETRY_DELAYS=[0.02, 0.05, 0.1])
        for card in cards[::6]:
            google.fail(object_id=card.google_object_id, status=503)
        for _ in range(2):
            make_all_due()

            report = sync_wallet_passes()

            assert (report.cards["synced"], report.cards["failed"]) == (250, 50)

    def test_an_outage_that_lasts_costs_each_run_the_same(
        self, google: GoogleEmulator, configure: Configure, right_cards: MakeCards
    ) -> None:
        """What failed in earlier runs is begun after a few cards that tell of the outage."""
        right_cards(300)
        configure(RETRY_DELAYS=[0.1, 0.1, 0.1])
        make_all_due()
        google.fail(status=503)
        for _ in range(4):
            before = len(google.object_requests)

            report = sync_wallet_passes()

            assert report.status == "failed"
            assert len(google.object_requests) - before <= 200

    def test_an_outage_of_days_costs_no_more(
        self, google: GoogleEmulator, configure: Configure, right_cards: MakeCards
    ) -> None:
        """When more than a batch has failed before, the others still tell of the outage."""
        cards = right_cards(300)
        configure(BATCH_SIZE=50, RETRY_DELAYS=[0.1, 0.1, 0.1])
        make_all_due()
        WalletPass.objects.filter(card_key__in=[card.key for card in cards[:200]]).update(
            last_code="unavailable", priority=WalletPass.Priority.FAILED
        )
        google.fail(status=503)
        before = len(google.object_requests)

        report = sync_wallet_passes()

        assert report.cards["failed"] + report.cards["deferred"] == 300
        assert len(google.object_requests) - before <= 200

    def test_an_outage_does_not_hide_which_cards_always_fail(
        self, google: GoogleEmulator, configure: Configure, right_cards: MakeCards
    ) -> None:
        """A deferral keeps what a card failed with: after the outage it still counts for itself."""
        cards = right_cards(300)
        configure(RETRY_DELAYS=[0.02, 0.05, 0.1])
        make_all_due()
        for card in cards[::6]:
            google.fail(object_id=card.google_object_id, status=503)
        sync_wallet_passes()
        make_all_due()
        outage = google.fail(status=503)
        assert sync_wallet_passes().status == "failed"
        assert WalletPass.objects.filter(last_code="unavailable").count() >= 50
        google.heal(outage)

        report = sync_wallet_passes()

        assert (report.cards["synced"], report.cards["failed"]) == (250, 50)

    def test_the_retries_of_a_few_cards_do_not_pass_for_an_outage(
        self, google: GoogleEmulator, configure: Configure, right_cards: MakeCards
    ) -> None:
        """28 bad answers in a row from 7 cards: all others are delivered after them."""
        cards = right_cards(150)
        configure(concurrency=1, RETRY_DELAYS=[0, 0, 0])
        make_all_due()
        for card in cards[:7]:
            google.fail(object_id=card.google_object_id, status=503)

        report = sync_wallet_passes()

        assert (report.cards["synced"], report.cards["failed"]) == (143, 7)
