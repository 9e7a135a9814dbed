"""One full run at a time: who holds it, who resumes it, and who has lost it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulator, LoggedRequest
from loyalty_wallet.models import LoyaltyCard, SyncBatch, SyncRun, SyncState
from loyalty_wallet.sync import Selection, sync_wallet_passes
from loyalty_wallet.sync.runs import MOST_RESUMES, OpenRun, RunLease
from tests.shopfront import Configure, balance_at, pass_of

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db


def let_the_run_lease_expire() -> None:
    """Let the holder of the full run have been silent for too long."""
    SyncState.objects.filter(scope="run").update(expires_at=timezone.now() - timedelta(seconds=1))


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
