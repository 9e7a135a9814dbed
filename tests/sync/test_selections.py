"""What a run takes up: what is due, what was asked for, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.exceptions import SelectionError
from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram, SyncFailure, SyncRun, WalletPass
from loyalty_wallet.sync import Selection, sync_wallet_passes
from tests.shopfront import Configure, balance_at, pass_of

from .window import forget_the_window

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db


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


def test_an_empty_run_succeeds(program: LoyaltyProgram, google: GoogleEmulator) -> None:
    """Case 50: no card, no request, no division by zero, and no credential is read."""
    report = sync_wallet_passes()

    assert report.status == "succeeded"
    assert report.failure_rate == 0
    assert report.cards["selected"] == 0
    assert google.requests == []
