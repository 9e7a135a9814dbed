"""What a phone should show, what it was given, where they part, and how far the news has come."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import (
    AppleRegistration,
    DatabaseNow,
    LoyaltyCard,
    LoyaltyProgram,
    WalletPass,
)
from loyalty_wallet.sync import sync_wallet_passes
from loyalty_wallet.sync.explaining.timeline import Reached, devices_of, timeline_of
from loyalty_wallet.sync.explaining.truth import Obstacle, Truth, flatten, truths_of
from tests.phonefront import iphone_pass, register
from tests.shopfront import Configure, pass_of

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db


def truth_of(row: WalletPass) -> Truth:
    (truth,) = truths_of(row.card_key, [row])
    return truth


def differences(row: WalletPass) -> list[tuple[str, object, object]]:
    return [(item.label, item.desired, item.delivered) for item in truth_of(row).differences]


def steps(row: WalletPass) -> dict[str, Reached]:
    timeline = timeline_of(truth_of(row), devices_of([row])[row.pk])
    return {step.name: step.reached for step in timeline}


def test_payloads_are_flattened_by_the_names_of_their_entries() -> None:
    """Entries of lists go by their key or id, so that a new one in front moves no other."""
    payload = {
        "points": {"balance": {"int": 0}},
        "modules": [{"id": "tier", "body": "Gold"}, {"body": "bare"}],
        "fields": [{"key": "name", "value": "Ada"}],
        "cleared": None,
        "empty": {},
        "blank": "",
    }
    assert dict(flatten(payload)) == {
        "points.balance.int": 0,
        "modules.tier.id": "tier",
        "modules.tier.body": "Gold",
        "modules.1.body": "bare",
        "fields.name.key": "name",
        "fields.name.value": "Ada",
    }


class TestTruth:
    def test_a_delivered_pass_is_as_it_should_be(self, right_cards: MakeCards) -> None:
        """Nothing differs, nothing would be sent, and what it shows is named in words."""
        (card,) = right_cards(1)
        truth = truth_of(pass_of(card))
        assert not truth.is_changed
        assert truth.is_certain
        assert truth.differences == []
        shown = {item.label: item.delivered for item in truth.fields if item.label}
        assert shown["Points"] == 0
        assert shown["Card number"] == card.card_number
        assert shown["Program"] == "Coffee Club"

    def test_a_change_is_named_in_the_reader_s_words(self, right_cards: MakeCards) -> None:
        """The balance differs, and only that."""
        (card,) = right_cards(1)
        card.record("earn", points=7)
        assert differences(pass_of(card)) == [("Points", 7, 0)]

    def test_a_change_of_the_program_is_one_of_the_card(
        self, right_cards: MakeCards, program: LoyaltyProgram
    ) -> None:
        """What Google shows of the class is part of what the customer sees."""
        (card,) = right_cards(1)
        program.name = "Tea Club"
        program.save()
        row = pass_of(card)
        assert differences(row) == [("Program", "Tea Club", "Coffee Club")]
        assert truth_of(row).is_changed

    def test_a_change_behind_our_back_is_seen(self, right_cards: MakeCards) -> None:
        """The truth is what the card shows now, whether or not anybody announced it."""
        (card,) = right_cards(1)
        LoyaltyCard.objects.update(points_balance=3)
        row = pass_of(card)
        assert not row.is_due
        assert differences(row) == [("Points", 3, 0)]

    @pytest.mark.usefixtures("configure_apple")
    def test_an_iphone_s_pass_is_read_the_same_way(self, right_cards: MakeCards) -> None:
        """The same words for the other wallet, and everything its phones show is in the pass."""
        (card,) = right_cards(1)
        card.record("earn", points=7)
        assert differences(iphone_pass(card)) == [("Points", 7, 0)]

    def test_a_lost_answer_leaves_a_doubt(
        self, google: GoogleEmulator, right_cards: MakeCards
    ) -> None:
        """After a failed request nobody knows which of the two the phone shows."""
        (card,) = right_cards(1)
        google.fail(status=503)
        card.record("earn", points=7)
        sync_wallet_passes()
        truth = truth_of(pass_of(card))
        assert not truth.is_certain
        assert truth.was_delivered

    def test_a_dead_worker_leaves_a_doubt(self, right_cards: MakeCards) -> None:
        """It may have sent something before it died."""
        (card,) = right_cards(1)
        WalletPass.objects.update(takeovers=1)
        assert not truth_of(pass_of(card)).is_certain

    def test_what_stands_in_the_way_is_told(
        self, right_cards: MakeCards, program: LoyaltyProgram, configure: Configure
    ) -> None:
        """A card that breaks a rule, a program that left, a card that is gone, wrong settings."""
        (card,) = right_cards(1)

        LoyaltyCard.objects.update(points_balance=2**40)
        truth = truth_of(pass_of(card))
        assert truth.obstacle is Obstacle.UNREADABLE
        assert truth.error is not None
        assert "32 bits" in truth.error.message

        LoyaltyCard.objects.update(points_balance=0)
        LoyaltyProgram.objects.update(google_wallet="")
        assert truth_of(pass_of(card)).obstacle is Obstacle.NOT_NAMED

        row = pass_of(card)
        row.wallet = "elsewhere"
        assert truth_of(row).obstacle is Obstacle.NOT_CONFIGURED

        row = pass_of(card)
        card.delete()
        assert truth_of(row).obstacle is Obstacle.CARD_GONE

        configure(api_url="http://example.com")
        truth = truth_of(row)
        assert truth.obstacle is Obstacle.MISCONFIGURED
        assert truth.error is not None
        assert "api_url must be https" in truth.error.message

    def test_a_source_that_breaks_is_the_card_s_failure(
        self, right_cards: MakeCards, configure: Configure
    ) -> None:
        """The shop's own code may raise anything; the page that asks must not break for it."""
        (card,) = right_cards(1)
        LoyaltyCard.objects.update(tier="boom")
        configure(CARD_SOURCE="tests.sync.sources.ExplodingSource")
        truth = truth_of(pass_of(card))
        assert truth.obstacle is Obstacle.UNREADABLE
        assert truth.error is not None
        assert truth.error.code == "invalid_card"
        assert "RuntimeError" in truth.error.message


class TestTimelineOfGoogle:
    def test_a_card_on_its_way(self, google: GoogleEmulator, right_cards: MakeCards) -> None:
        """Changed, then tried in vain, then delivered."""
        (card,) = right_cards(1)
        fault = google.fail(status=400)
        card.record("earn", points=7)
        assert steps(pass_of(card)) == {
            "changed": Reached.YES,
            "tried": Reached.NO,
            "delivered": Reached.NO,
        }
        sync_wallet_passes()
        assert steps(pass_of(card))["tried"] is Reached.YES
        assert steps(pass_of(card))["delivered"] is Reached.NO
        google.heal(fault)
        sync_wallet_passes()
        assert set(steps(pass_of(card)).values()) == {Reached.YES}

    def test_a_change_after_a_failure_is_untried(
        self, google: GoogleEmulator, right_cards: MakeCards
    ) -> None:
        """What failed was an older change."""
        (card,) = right_cards(1)
        google.fail(status=400)
        card.record("earn", points=7)
        sync_wallet_passes()
        WalletPass.objects.update(tried_at=DatabaseNow() - timedelta(minutes=5))
        card.record("earn", points=1)
        assert steps(pass_of(card))["tried"] is Reached.NO

    def test_a_change_behind_our_back_is_untried(self, right_cards: MakeCards) -> None:
        """The record looks right, and the phone is not."""
        (card,) = right_cards(1)
        LoyaltyCard.objects.update(points_balance=3)
        assert steps(pass_of(card)) == {
            "changed": Reached.YES,
            "tried": Reached.NO,
            "delivered": Reached.NO,
        }

    def test_a_card_that_was_passed_over_was_not_delivered(
        self, make_cards: MakeCards, program: LoyaltyProgram
    ) -> None:
        """A worker came and had nothing to send: the program does not name the wallet."""
        (card,) = make_cards(1)
        LoyaltyProgram.objects.update(google_wallet="")
        sync_wallet_passes()
        assert not pass_of(card).is_due
        assert steps(pass_of(card)) == {
            "changed": Reached.YES,
            "tried": Reached.YES,
            "delivered": Reached.NO,
        }

    def test_times_say_when(self, right_cards: MakeCards) -> None:
        """Each step carries its moment."""
        (card,) = right_cards(1)
        row = pass_of(card)
        timeline = timeline_of(truth_of(row), [])
        assert [step.at for step in timeline] == [row.changed_at, row.tried_at, row.synced_at]
        assert all(step.at and timezone.now() - step.at < timedelta(minutes=1) for step in timeline)


@pytest.mark.usefixtures("configure_apple")
class TestTimelineOfApple:
    def test_nobody_has_to_come_along(self, right_cards: MakeCards) -> None:
        """Without a device the last three steps are nobody's."""
        (card,) = right_cards(1)
        assert steps(iphone_pass(card)) == {
            "changed": Reached.YES,
            "tried": Reached.YES,
            "pushed": Reached.NOBODY,
            "listed": Reached.NOBODY,
            "fetched": Reached.NOBODY,
        }

    def test_a_new_device_has_the_version_it_came_for(self, right_cards: MakeCards) -> None:
        """A phone that has just added the card is behind nothing."""
        (card,) = right_cards(1)
        register(card)
        assert set(steps(iphone_pass(card)).values()) == {Reached.YES}

    def test_a_push_is_not_yet_a_fetch(self, right_cards: MakeCards) -> None:
        """APNs only rings the bell: the phone's own questions say how far it has come."""
        (card,) = right_cards(1)
        register(card)
        card.record("earn", points=7)
        assert steps(iphone_pass(card))["pushed"] is Reached.NO
        sync_wallet_passes()
        row = iphone_pass(card)
        assert steps(row)["pushed"] is Reached.YES
        assert steps(row)["listed"] is Reached.NO
        AppleRegistration.objects.update(listed_tag=row.change_tag, last_listed_at=timezone.now())
        assert steps(row)["listed"] is Reached.YES
        assert steps(row)["fetched"] is Reached.NO
        AppleRegistration.objects.update(
            fetched_tag=row.change_tag, last_fetched_at=timezone.now(), news_since=None
        )
        assert set(steps(row).values()) == {Reached.YES}

    def test_the_slowest_device_counts(self, right_cards: MakeCards) -> None:
        """One of two phones has fetched: the step is reached in part, and says by how many."""
        (card,) = right_cards(1)
        (first,) = register(card)
        register(card)
        card.record("earn", points=7)
        sync_wallet_passes()
        AppleRegistration.objects.filter(pk=first.pk).update(news_since=None)
        row = iphone_pass(card)
        timeline = timeline_of(truth_of(row), devices_of([row])[row.pk])
        fetched = timeline[-1]
        assert (fetched.reached, fetched.note) == (Reached.PARTLY, "1 of 2 devices")
