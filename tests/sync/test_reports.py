"""What is put on record of a run, and what its report says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import jsonschema
import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, SyncBatch, SyncRun, WalletPass
from loyalty_wallet.sync import SyncReport, sync_card_to_wallets, sync_wallet_passes
from loyalty_wallet.sync.report import report_schema
from loyalty_wallet.sync.runs import OpenRun
from tests.shopfront import Configure, balance_at, pass_of

from .window import forget_the_window

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db


class TestRecord:
    def test_totals_are_the_sum_of_the_batches(
        self, google: GoogleEmulator, configure: Configure, right_cards: MakeCards
    ) -> None:
        """Also with many small batches."""
        cards = right_cards(23)
        for card in cards:
            card.record("earn", points=1)
        google.fail(object_id=cards[0].google_object_id, status=400)
        configure(BATCH_SIZE=5)

        report = sync_wallet_passes()

        batches = SyncBatch.objects.filter(run=report.run_id)
        assert batches.count() >= 5
        for name in ("updated", "failed", "requests", "attempts"):
            total = sum(batch.counts.get(name, 0) for batch in batches)
            assert total == report.wallets["google"][name]
        assert report.wallets["google"]["updated"] == 22

    def test_the_report_has_its_published_form(
        self, google: GoogleEmulator, right_cards: MakeCards
    ) -> None:
        """Every report passes the shipped JSON Schema."""
        cards = right_cards(3)
        cards[0].record("earn", points=1)
        google.fail(object_id=cards[0].google_object_id, status=503)

        report = sync_wallet_passes().as_dict()

        jsonschema.validate(report, report_schema())
        assert sum(report["cards"].values()) == 2 * report["cards"]["selected"]
        assert list(report["wallets"]["google"]) == [
            "created",
            "updated",
            "unchanged",
            "failed",
            "deferred",
            "attempts",
            "requests",
        ]

    def test_a_pass_that_keeps_failing_is_set_aside(
        self,
        google: GoogleEmulator,
        configure: Configure,
        right_cards: MakeCards,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """After so many runs with a final code; a retryable failure in between starts anew."""
        (card,) = right_cards(1)
        configure(SET_ASIDE_AFTER=2)
        card.record("earn", points=5)
        for statuses in ((400, 503, 400), (400,)):
            for status in statuses:
                assert pass_of(card).state == WalletPass.State.ACTIVE
                fault = google.fail(object_id=card.google_object_id, status=status)
                sync_wallet_passes()
                google.heal(fault)

        assert pass_of(card).state == WalletPass.State.SET_ASIDE
        assert pass_of(card).is_due
        assert caplog.text.count("set aside") == 1
        forget_the_window()
        assert sync_wallet_passes().cards["selected"] == 0
        card.record("earn", points=1)
        assert sync_wallet_passes().cards["synced"] == 1

    def test_alerts_are_raised_above_their_thresholds_only(
        self, google: GoogleEmulator, configure: Configure, right_cards: MakeCards
    ) -> None:
        """5 % and 10 cards are fine, more are not."""
        cards = right_cards(200)
        for card in cards:
            card.record("earn", points=1)
        for card in cards[:10]:
            google.fail(object_id=card.google_object_id, status=400)
        assert sync_wallet_passes().alerts == []

        for card in cards:
            card.record("earn", points=1)
        google.fail(object_id=cards[10].google_object_id, status=400)
        report = sync_wallet_passes()

        assert report.alerts == [
            {"code": "failure_rate", "value": 0.055, "threshold": 0.05},
            {"code": "failed_cards", "value": 11, "threshold": 10},
        ]

    def test_a_clock_that_jumps_makes_no_negative_run(self, configure: Configure) -> None:
        """The length of a run is measured by a clock that never jumps."""
        with time_machine.travel(timezone.now(), tick=True) as clock:
            opened = OpenRun.begin(SyncRun(), is_full=True)
            clock.shift(timedelta(hours=-1))
            opened.close(SyncRun.Status.SUCCEEDED, error="", card_counts={})

        duration = SyncRun.objects.get().duration_seconds
        assert duration is not None
        assert 0 <= duration < 60

    def test_clean_passes_cost_a_constant_number_of_queries(
        self, configure: Configure, right_cards: MakeCards
    ) -> None:
        """A run over nothing does not look at every pass."""
        counts = []
        for more in (5, 60):
            right_cards(more)
            forget_the_window()
            with CaptureQueriesContext(connection) as queries:
                assert sync_wallet_passes().cards["selected"] == 0
            counts.append(len(queries))
        assert counts[0] == counts[1]


@pytest.mark.parametrize(("seconds", "is_slow"), [(29.9, False), (30.0, False), (30.1, True)])
def test_a_run_is_slow_above_thirty_seconds_only(db: None, seconds: float, is_slow: bool) -> None:
    """Case 49: the alert is for runs of more than 30 s."""
    now = timezone.now()
    run = SyncRun.objects.create(
        status="succeeded", started_at=now, finished_at=now + timedelta(seconds=seconds)
    )

    alerts = SyncReport.of_run(run).alerts

    assert [alert["code"] for alert in alerts] == (["duration"] if is_slow else [])


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
