"""How runs end: in time, when told to, or at once; and that queued ones do what was asked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulator, LoggedRequest
from loyalty_wallet.models import LoyaltyCard, SyncRun, WalletPass
from loyalty_wallet.models.runs import FULL_RUN
from loyalty_wallet.sync import Selection, help_with_run, queue_wallet_sync, sync_wallet_passes
from tests.shopfront import Configure, pass_of

from .window import forget_the_window

MakeCards = Callable[[int], list[LoyaltyCard]]
SellSlowly = Callable[[float], None]

pytestmark = pytest.mark.django_db


@pytest.fixture
def sell_slowly(google: GoogleEmulator, configure: Configure, right_cards: MakeCards) -> SellSlowly:
    """Change 30 cards, which are then sent one after the other, at so many seconds each."""

    def sell(latency_seconds: float) -> None:
        for card in right_cards(30):
            card.record("earn", points=1)
        configure(concurrency=1)
        google.set_latency(latency_seconds)

    return sell


class TestEndings:
    def test_a_time_limit_leaves_the_rest_for_later(self, sell_slowly: SellSlowly) -> None:
        """Case 46: what was begun is finished and recorded, the rest is left, due and free."""
        sell_slowly(0.2)

        report = sync_wallet_passes(max_seconds=2)

        assert report.status == "partial"
        assert report.was_stopped_early
        assert report.cards["left"] > 0
        assert report.cards["synced"] + report.cards["left"] == 30
        assert WalletPass.objects.due().unleased().count() == report.cards["left"]

    def test_ctrl_c_finishes_what_was_begun(
        self, google: GoogleEmulator, sell_slowly: SellSlowly
    ) -> None:
        """The first one stops the run in order."""
        sell_slowly(0.05)
        presses = [True]

        def press(progress: object) -> None:
            if google.object_requests and presses and presses.pop():
                raise KeyboardInterrupt

        report = sync_wallet_passes(on_progress=press)

        assert report.status == "partial"
        assert 0 < report.cards["left"] < 30
        assert WalletPass.objects.due().unleased().count() == report.cards["left"]

    def test_a_run_that_is_told_to_stop_finishes_what_was_begun(
        self, sell_slowly: SellSlowly
    ) -> None:
        """It ends as interrupted, says why, and leaves the rest due."""
        sell_slowly(0.2)

        def cancel(run: SyncRun) -> None:
            SyncRun.objects.filter(pk=run.pk).update(cancel_requested_at=timezone.now())

        report = sync_wallet_passes(on_open=cancel)

        assert (report.status, report.error) == ("interrupted", "Cancelled.")
        assert 0 < report.cards["left"] < 30
        assert WalletPass.objects.due().unleased().count() == report.cards["left"]

    def test_a_second_ctrl_c_ends_at_once_and_loses_nothing(
        self, google: GoogleEmulator, configure: Configure, right_cards: MakeCards
    ) -> None:
        """The run is closed as interrupted, and everything not recorded is still due."""
        cards = right_cards(5)
        for card in cards:
            card.record("earn", points=1)
        google.misbehave("hang")

        def press(progress: object) -> None:
            if google.object_requests:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            sync_wallet_passes(on_progress=press)

        assert SyncRun.objects.order_by("-pk")[0].status == SyncRun.Status.INTERRUPTED
        assert WalletPass.objects.due().count() == 5

    def test_a_queued_run_is_carried_out_as_it_was_asked(
        self, google: GoogleEmulator, right_cards: MakeCards
    ) -> None:
        """Its selection, its trigger and its order to force hold."""
        cards = right_cards(3)
        run = queue_wallet_sync(
            Selection.of_cards([cards[1].key]), trigger=SyncRun.Trigger.ADMIN, force=True
        )
        assert run.status == SyncRun.Status.QUEUED
        assert pass_of(cards[1]).is_due

        report = sync_wallet_passes(run=run)

        assert (report.run_id, report.trigger) == (run.pk, "admin")
        assert [entry.resource_id for entry in google.object_requests] == [
            cards[1].google_object_id
        ]

    @pytest.mark.parametrize("notify", [False, True])
    def test_a_queued_run_notifies_customers_only_where_that_was_asked_for(
        self, google: GoogleEmulator, right_cards: MakeCards, notify: bool
    ) -> None:
        """The wish is on record with the run, for whichever worker carries it out."""
        (card,) = right_cards(1)
        card.record("earn", points=5)
        run = queue_wallet_sync(
            Selection.of_cards([card.key]), trigger=SyncRun.Trigger.ADMIN, notify=notify
        )

        sync_wallet_passes(run=SyncRun.objects.get(pk=run.pk))

        (entry,) = google.object_requests
        assert ("notifyPreference" in entry.body) == notify

    def test_a_worker_that_helps_notifies_like_the_one_that_leads(
        self, google: GoogleEmulator, right_cards: MakeCards
    ) -> None:
        """What customers are told does not depend on which worker takes their card."""
        (card,) = right_cards(1)
        card.record("earn", points=5)
        run = SyncRun.objects.create(
            status=SyncRun.Status.RUNNING,
            started_at=timezone.now(),
            # Its leader is dead: nobody else is there to close it.
            heartbeat_at=timezone.now() - timedelta(hours=1),
            selection=Selection.of_cards([card.key]).as_json(),
            options={"force": False, "notify": True},
        )

        help_with_run(run)

        (entry,) = google.object_requests
        assert entry.body["notifyPreference"] == "NOTIFY_ON_UPDATE"

    def test_a_quiet_run_does_not_resume_one_that_notified(
        self, google: GoogleEmulator, right_cards: MakeCards
    ) -> None:
        """The schedule that finds a dead run with other orders closes it and goes its own way."""
        (card,) = right_cards(1)
        card.record("earn", points=5)
        dead = SyncRun.objects.create(
            status=SyncRun.Status.RUNNING,
            active_key=FULL_RUN,
            started_at=timezone.now(),
            selection=Selection().as_json(),
            options={"force": False, "notify": True},
        )

        report = sync_wallet_passes()

        assert report.run_id != dead.pk
        dead.refresh_from_db()
        assert dead.status == SyncRun.Status.INTERRUPTED
        (entry,) = google.object_requests
        assert "notifyPreference" not in entry.body


@pytest.mark.django_db(transaction=True)
def test_a_shop_in_full_swing_does_not_keep_a_run_going(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """Cards that become due while the run goes are left to their own push or the next run."""
    cards = right_cards(6)
    cards[0].record("earn", points=1)
    numbers = {card.google_object_id: number for number, card in enumerate(cards)}

    def shop(request: LoggedRequest) -> None:
        """Each delivery has the next customer buy something."""
        if request.kind == "object" and request.resource_id in numbers:
            following = cards[(numbers[request.resource_id] + 1) % len(cards)]
            LoyaltyCard.objects.get(pk=following.pk).record("earn", points=1)
            connection.close()

    google.on_request = shop
    forget_the_window()

    report = sync_wallet_passes()

    assert report.cards["selected"] == 1
    assert pass_of(cards[1]).is_due
