"""Runs on record: selections, discovery, reports, ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import jsonschema
import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulator, LoggedRequest
from loyalty_wallet.exceptions import SelectionError
from loyalty_wallet.models import (
    LoyaltyCard,
    LoyaltyProgram,
    LoyaltyTransaction,
    SyncBatch,
    SyncFailure,
    SyncRun,
    SyncState,
    WalletPass,
)
from loyalty_wallet.models.runs import FULL_RUN
from loyalty_wallet.sync import (
    Selection,
    help_with_run,
    preview_sync,
    queue_wallet_sync,
    sync_wallet_passes,
)
from loyalty_wallet.sync.report import report_schema
from loyalty_wallet.sync.runs import MOST_RESUMES, OpenRun, RunLease
from tests.shopfront import Configure, balance_at, pass_of

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db


def forget_the_window() -> None:
    """Move all cards and transactions out of the window that discovery looks at."""
    long_ago = timezone.now() - timedelta(days=30)
    LoyaltyCard.objects.update(updated_at=long_ago)
    LoyaltyTransaction.objects.update(created_at=long_ago)


def let_the_run_lease_expire() -> None:
    """Let the holder of the full run have been silent for too long."""
    SyncState.objects.filter(scope="run").update(expires_at=timezone.now() - timedelta(seconds=1))


class TestSelections:
    def test_due_is_the_default(self, google: GoogleEmulator, right_cards: MakeCards) -> None:
        """Only what is wrong is taken up."""
        cards = right_cards(5)
        forget_the_window()
        cards[2].record("earn", points=5)
        LoyaltyCard.objects.filter(pk=cards[3].pk).update(points_balance=9)

        report = sync_wallet_passes()

        assert report.cards["selected"] == 1
        assert balance_at(google, cards[2]) == 5

    def test_named_cards_are_compared_though_not_due(
        self, google: GoogleEmulator, right_cards: MakeCards
    ) -> None:
        """A person's word is enough."""
        cards = right_cards(3)
        forget_the_window()
        LoyaltyCard.objects.filter(pk=cards[0].pk).update(points_balance=9)

        report = sync_wallet_passes(selection=Selection.of_cards([cards[0].key, cards[1].key]))

        assert (report.cards["synced"], report.cards["unchanged"]) == (1, 1)
        assert balance_at(google, cards[0]) == 9

    def test_force_sends_what_is_unchanged(
        self, google: GoogleEmulator, right_cards: MakeCards
    ) -> None:
        """It mends what somebody changed at Google, and the order is used up by the success."""
        (card,) = right_cards(1)
        google.edit_object(card.google_object_id, accountName="Somebody else")

        report = sync_wallet_passes(selection=Selection.of_cards([card.key]), force=True)

        assert report.wallets["google"]["updated"] == 1
        assert not pass_of(card).is_forced
        assert "accountName" not in google.objects[card.google_object_id]

    def test_failed_takes_what_failed_last_time(
        self, google: GoogleEmulator, right_cards: MakeCards
    ) -> None:
        """Other due cards wait for their run."""
        failed, other = right_cards(2)
        failed.record("earn", points=5)
        fault = google.fail(object_id=failed.google_object_id, status=400)
        sync_wallet_passes()
        google.heal(fault)
        other.record("earn", points=5)

        report = sync_wallet_passes(selection=Selection.of_failed())

        assert report.cards["selected"] == 1
        assert balance_at(google, failed) == 5
        assert pass_of(other).is_due

    def test_a_run_takes_what_that_run_left_open(
        self, google: GoogleEmulator, right_cards: MakeCards
    ) -> None:
        """Its failures that nothing has resolved since, and no others."""
        cards = right_cards(3)
        for card in cards[:2]:
            card.record("earn", points=5)
            google.fail(object_id=card.google_object_id, status=400)
        first = sync_wallet_passes()
        google.heal()
        sync_wallet_passes(selection=Selection.of_cards([cards[0].key]))
        cards[2].record("earn", points=5)
        assert first.run_id is not None

        report = sync_wallet_passes(selection=Selection.of_run(first.run_id))

        assert report.cards["synced"] == 1
        assert balance_at(google, cards[1]) == 5
        assert not SyncFailure.objects.open().exists()

    def test_a_run_takes_up_again_what_was_set_aside(
        self, google: GoogleEmulator, configure: Configure, right_cards: MakeCards
    ) -> None:
        """A person asked for it."""
        (card,) = right_cards(1)
        configure(SET_ASIDE_AFTER=1)
        card.record("earn", points=5)
        google.fail(object_id=card.google_object_id, status=400)
        first = sync_wallet_passes()
        assert pass_of(card).state == WalletPass.State.SET_ASIDE
        google.heal()
        assert first.run_id is not None

        sync_wallet_passes(selection=Selection.of_run(first.run_id))

        assert balance_at(google, card) == 5

    def test_since_and_all_compare_without_a_touch(
        self, google: GoogleEmulator, right_cards: MakeCards
    ) -> None:
        """Changes that nobody announced are found by their time, or by looking at everything."""
        cards = right_cards(4)
        forget_the_window()
        yesterday = timezone.now() - timedelta(hours=20)
        LoyaltyCard.objects.filter(pk=cards[0].pk).update(points_balance=3, updated_at=yesterday)
        LoyaltyCard.objects.filter(pk=cards[1].pk).update(points_balance=4)

        since = Selection.of_changes_since(timezone.now() - timedelta(days=1))
        assert sync_wallet_passes(selection=since).cards["selected"] == 1
        assert balance_at(google, cards[0]) == 3

        report = sync_wallet_passes(selection=Selection.of_all())
        assert (report.cards["selected"], report.cards["synced"]) == (4, 1)
        assert balance_at(google, cards[1]) == 4

    def test_a_program_or_a_wallet_narrows(
        self, right_cards: MakeCards, program: LoyaltyProgram
    ) -> None:
        """The other program's cards stay due."""
        (coffee,) = right_cards(1)
        tea = LoyaltyProgram.objects.create(name="Tea", slug="tea", issuer_name="Corner Café")
        other = LoyaltyCard.objects.create(program=tea, card_number="T1")
        coffee.record("earn", points=5)

        report = sync_wallet_passes(selection=Selection().narrowed(program="tea", wallet="google"))

        assert report.cards["selected"] == 1
        assert not pass_of(other).is_due
        assert pass_of(coffee).is_due

    @pytest.mark.parametrize(
        "selection",
        [
            {"program": "nothing"},
            {"wallet": "appel"},
            {"kind": "run", "run_id": 4711},
            {"kind": "everything"},
            {"colour": "red"},
            {"kind": "since", "since": "tomorrow"},
        ],
    )
    def test_what_does_not_exist_is_refused(
        self, program: LoyaltyProgram, selection: dict[str, object]
    ) -> None:
        """A clear error and no run on record."""
        with pytest.raises(SelectionError):
            sync_wallet_passes(selection=selection)
        assert not SyncRun.objects.exists()

    def test_a_selection_survives_its_record(self) -> None:
        """What is stored with the run is what was asked for."""
        for selection in (
            Selection(),
            Selection.of_cards(["1", "2"]),
            Selection.of_run(7).narrowed(program="coffee"),
            Selection.of_changes_since(timezone.now()).narrowed(wallet="google"),
        ):
            assert Selection.from_json(json.loads(json.dumps(selection.as_json()))) == selection

    def test_a_limit_caps_the_passes(self, right_cards: MakeCards) -> None:
        """The rest stays due and is not part of the run."""
        for card in right_cards(5):
            card.record("earn", points=1)

        report = sync_wallet_passes(limit=2)

        assert report.cards["selected"] == report.cards["synced"] == 2
        assert WalletPass.objects.due().count() == 3


class TestDiscovery:
    def test_bulk_changes_are_found_in_the_window(
        self, google: GoogleEmulator, right_cards: MakeCards
    ) -> None:
        """Transactions of the last hour count though nobody touched the cards."""
        cards = right_cards(3)
        forget_the_window()
        LoyaltyCard.objects.filter(pk=cards[0].pk).update(points_balance=8)
        LoyaltyTransaction.objects.bulk_create(
            [LoyaltyTransaction(card=cards[0], kind="earn", points=8)]
        )

        report = sync_wallet_passes()

        assert report.cards["selected"] == 1
        assert balance_at(google, cards[0]) == 8

    def test_a_gap_in_the_schedule_is_covered(
        self, google: GoogleEmulator, right_cards: MakeCards
    ) -> None:
        """The watermark reaches back over hours without a run, and a late commit before it."""
        cards = right_cards(2)
        forget_the_window()
        five_hours = timezone.now() - timedelta(hours=5)
        SyncState.objects.update(scanned_until=five_hours)
        for card, minutes in ((cards[0], 30), (cards[1], -5)):
            LoyaltyCard.objects.filter(pk=card.pk).update(
                points_balance=8, updated_at=five_hours + timedelta(minutes=minutes)
            )

        sync_wallet_passes()

        assert [balance_at(google, card) for card in cards] == [8, 8]

    def test_the_look_back_has_an_end(self, right_cards: MakeCards) -> None:
        """After years of silence a run looks back a week, not years."""
        right_cards(1)
        forget_the_window()
        SyncState.objects.update(scanned_until=timezone.now() - timedelta(days=900))
        LoyaltyCard.objects.update(updated_at=timezone.now() - timedelta(days=8))

        assert sync_wallet_passes().cards["selected"] == 0

    def test_a_source_that_cannot_tell_does_not_stop_the_run(
        self, google: GoogleEmulator, configure: Configure, right_cards: MakeCards
    ) -> None:
        """What is known to be due goes out, and the run says what was wrong."""
        (card,) = right_cards(1)
        card.record("earn", points=5)
        configure(CARD_SOURCE="tests.sync.sources.ForgetfulSource")

        report = sync_wallet_passes()

        assert balance_at(google, card) == 5
        assert "Discovery failed" in report.error


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


class TestOneAtATime:
    def test_a_second_full_run_is_skipped_and_says_why(self, right_cards: MakeCards) -> None:
        """It is on record, sends nothing and disturbs nothing."""
        (card,) = right_cards(1)
        card.record("earn", points=5)
        first = OpenRun.begin(SyncRun(), is_full=True)

        report = sync_wallet_passes()

        assert report.status == "skipped"
        assert f"Run {first.run.pk}" in report.error
        assert pass_of(card).is_due
        first.close(SyncRun.Status.SUCCEEDED, error="", card_counts={})
        assert sync_wallet_passes().status == "succeeded"

    def test_selected_cards_do_not_wait_for_a_full_run(self, right_cards: MakeCards) -> None:
        """They join whatever is going: the leases keep the writers apart."""
        (card,) = right_cards(1)
        OpenRun.begin(SyncRun(), is_full=True)
        report = sync_wallet_passes(selection=Selection.of_cards([card.key]), force=True)
        assert report.cards["synced"] == 1

    def test_a_run_whose_process_died_is_resumed(
        self, google: GoogleEmulator, right_cards: MakeCards
    ) -> None:
        """Two minutes without a sign of life: the next full run goes on under the same number."""
        (card,) = right_cards(1)
        card.record("earn", points=5)
        dead = OpenRun.begin(SyncRun(selection=Selection().as_json()), is_full=True).run
        SyncBatch.objects.create(
            run=dead, worker="dead", wallet="google", counts={"updated": 7, "requests": 7}
        )
        let_the_run_lease_expire()

        report = sync_wallet_passes()

        assert report.run_id == dead.pk
        assert report.status == "succeeded"
        assert report.wallets["google"]["updated"] == 8
        dead.refresh_from_db()
        assert dead.resumes == 1
        assert balance_at(google, card) == 5

    @pytest.mark.parametrize(
        ("selection", "resumes", "status"),
        [(Selection.of_all(), 0, "interrupted"), (Selection(), MOST_RESUMES, "failed")],
    )
    def test_a_dead_run_that_cannot_be_resumed_is_closed(
        self, right_cards: MakeCards, selection: Selection, resumes: int, status: str
    ) -> None:
        """Another selection needs a run of its own, and nobody resumes for ever."""
        right_cards(1)
        run = SyncRun(selection=selection.as_json(), resumes=resumes)
        dead = OpenRun.begin(run, is_full=True).run
        let_the_run_lease_expire()

        report = sync_wallet_passes()

        assert report.status == "succeeded"
        assert report.run_id != dead.pk
        dead.refresh_from_db()
        assert dead.status == status
        assert dead.finished_at is not None

    def test_a_holder_that_lost_its_lease_cannot_renew_or_release_it(
        self, configure: Configure
    ) -> None:
        """Its token is worth nothing once somebody else holds the run."""
        first = RunLease.acquire("first")
        assert first is not None
        assert RunLease.acquire("second") is None
        let_the_run_lease_expire()
        second = RunLease.acquire("second")
        assert second is not None

        assert not first.renew()
        first.release()
        assert second.renew()
        assert RunLease.acquire("third") is None
        second.release()
        assert RunLease.acquire("third") is not None


class TestEndings:
    def test_a_time_limit_leaves_the_rest_for_later(
        self, google: GoogleEmulator, configure: Configure, right_cards: MakeCards
    ) -> None:
        """What was begun is finished and recorded, the rest is left, due and free."""
        for card in right_cards(30):
            card.record("earn", points=1)
        configure(concurrency=1)
        google.set_latency(0.2)

        report = sync_wallet_passes(max_seconds=2)

        assert report.status == "partial"
        assert report.was_stopped_early
        assert report.cards["left"] > 0
        assert report.cards["synced"] + report.cards["left"] == 30
        assert WalletPass.objects.due().unleased().count() == report.cards["left"]

    def test_ctrl_c_finishes_what_was_begun(
        self, google: GoogleEmulator, configure: Configure, right_cards: MakeCards
    ) -> None:
        """The first one stops the run in order."""
        for card in right_cards(30):
            card.record("earn", points=1)
        configure(concurrency=1)
        google.set_latency(0.05)
        presses = [True]

        def press(progress: object) -> None:
            if google.object_requests and presses and presses.pop():
                raise KeyboardInterrupt

        report = sync_wallet_passes(on_progress=press)

        assert report.status == "partial"
        assert 0 < report.cards["left"] < 30
        assert WalletPass.objects.due().unleased().count() == report.cards["left"]

    def test_a_run_that_is_told_to_stop_finishes_what_was_begun(
        self, google: GoogleEmulator, configure: Configure, right_cards: MakeCards
    ) -> None:
        """It ends as interrupted, says why, and leaves the rest due."""
        for card in right_cards(30):
            card.record("earn", points=1)
        configure(concurrency=1)
        google.set_latency(0.2)

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


class TestPreview:
    def test_it_says_what_a_run_would_do(
        self, google: GoogleEmulator, configure: Configure, right_cards: MakeCards
    ) -> None:
        """The same counts as the run that follows, also for changes that nobody announced."""
        cards = right_cards(6)
        forget_the_window()
        cards[0].record("earn", points=1)
        LoyaltyCard.objects.filter(pk=cards[1].pk).update(
            points_balance=5, updated_at=timezone.now()
        )
        WalletPass.objects.filter(card_key=cards[2].key).touch()
        LoyaltyCard.objects.filter(pk=cards[3].pk).update(points_balance=2**40)
        WalletPass.objects.filter(card_key=cards[3].key).touch()

        preview = preview_sync(Selection())
        report = sync_wallet_passes()

        assert preview.cards == report.cards
        assert preview.cards["synced"] == 2
        assert preview.failed_card_ids == report.failed_card_ids

    def test_it_writes_and_sends_nothing(
        self, google: GoogleEmulator, right_cards: MakeCards
    ) -> None:
        """No request, no run, no change of any pass."""
        cards = right_cards(3)
        cards[0].record("earn", points=1)
        before = list(WalletPass.objects.order_by("pk").values())
        runs = SyncRun.objects.count()

        preview_sync(Selection.of_all())
        preview_sync(Selection.of_cards([cards[1].key]))

        assert list(WalletPass.objects.order_by("pk").values()) == before
        assert SyncRun.objects.count() == runs
        assert google.requests == []


@pytest.mark.django_db(transaction=True)
def test_leases_and_heartbeat_are_renewed_while_a_run_is_slow(
    google: GoogleEmulator,
    configure: Configure,
    right_cards: MakeCards,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run that takes longer than its leases keeps them."""
    monkeypatch.setattr("loyalty_wallet.sync.pump.engine.HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr("loyalty_wallet.sync.pump.engine.TICK_SECONDS", 0.05)
    (card,) = right_cards(1)
    card.record("earn", points=1)
    seen: list[tuple[object, object]] = []

    def look(request: LoggedRequest) -> None:
        if request.kind == "object":
            run = SyncRun.objects.latest("pk")
            seen.append((pass_of(card).lease_until, run.heartbeat_at))
            connection.close()

    google.on_request = look
    configure(RETRY_DELAYS=[1])
    google.fail(object_id=card.google_object_id, status=503, times=1)

    sync_wallet_passes()

    first, second = seen
    assert first[0] != second[0]
    assert first[1] != second[1]


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
