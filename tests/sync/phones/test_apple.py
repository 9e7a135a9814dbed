"""The Apple wallet in the sync: a new version on record, then a push to each device behind it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.emulator.apple import ApnsEmulator
from loyalty_wallet.emulator.apple.apns import Push
from loyalty_wallet.models import AppleDevice, AppleRegistration, LoyaltyCard, WalletPass
from loyalty_wallet.registry import get_wallets
from loyalty_wallet.sync import sync_card_to_wallets, sync_wallet_passes
from tests.phonefront import iphone_pass, register
from tests.shopfront import Configure, balance_at

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("configure_apple")]


def tokens(apns: ApnsEmulator) -> list[str]:
    return [push.push_token for push in apns.pushes]


def balance_on_record(card: LoyaltyCard) -> int:
    balance: int = iphone_pass(card).payload["pass"]["storeCard"]["headerFields"][0]["value"]
    return balance


class TestDelivering:
    def test_a_change_is_put_on_record_and_its_device_is_told(
        self, apns: ApnsEmulator, right_cards: MakeCards
    ) -> None:
        """The version comes with a higher tag, a whole second of its own, and one push."""
        (card,) = right_cards(1)
        before = iphone_pass(card)
        (phone,) = register(card)
        card.record("earn", points=5)

        report = sync_wallet_passes()

        after = iphone_pass(card)
        assert report.status == "succeeded"
        assert report.wallets["apple"] == {
            "updated": 1,
            "unchanged": 0,
            "failed": 0,
            "deferred": 0,
            "attempts": 1,
            "pushes": 1,
        }
        assert balance_on_record(card) == 5
        assert after.due_at is None
        assert after.change_tag > before.change_tag > 0
        assert before.modified_at is not None
        assert after.modified_at is not None
        assert after.modified_at > before.modified_at
        assert after.modified_at.microsecond == 0
        assert tokens(apns) == [phone.device.push_token]
        phone.refresh_from_db()
        assert phone.pushed_tag == after.change_tag
        assert phone.last_pushed_at is not None
        assert phone.news_since is not None
        assert len(AppleDevice.objects.get().last_apns_id) == 36

    def test_a_card_without_devices_is_a_success_without_a_push(
        self, apns: ApnsEmulator, right_cards: MakeCards
    ) -> None:
        """Case 24: nobody has the card on a phone; its next version is on record all the same."""
        (card,) = right_cards(1)
        card.record("earn", points=5)

        report = sync_wallet_passes()

        assert report.status == "succeeded"
        assert report.wallets["apple"]["updated"] == 1
        assert balance_on_record(card) == 5
        assert apns.pushes == []

    def test_nothing_new_is_no_version_and_no_push(
        self, apns: ApnsEmulator, right_cards: MakeCards
    ) -> None:
        """A touch without a change costs nothing."""
        (card,) = right_cards(1)
        register(card)
        tag = iphone_pass(card).change_tag
        WalletPass.objects.touch()

        report = sync_wallet_passes()

        assert report.wallets["apple"]["unchanged"] == 1
        assert iphone_pass(card).change_tag == tag
        assert apns.pushes == []

    def test_one_push_speaks_of_all_passes_of_a_device(
        self, apns: ApnsEmulator, right_cards: MakeCards
    ) -> None:
        """Three cards change, one phone has them all: its bell rings once."""
        cards = right_cards(3)
        registrations = register(*cards)
        for card in cards:
            card.record("earn", points=5)

        report = sync_wallet_passes()

        assert report.wallets["apple"]["updated"] == 3
        assert len(apns.pushes) == report.wallets["apple"]["pushes"] == 1
        for row in registrations:
            row.refresh_from_db()
            assert row.pushed_tag == row.wallet_pass.change_tag > 0
        assert AppleDevice.objects.get().throttle_score == 0

    def test_a_device_without_news_is_left_in_peace(
        self, apns: ApnsEmulator, right_cards: MakeCards
    ) -> None:
        """Only the phone whose card changed is told."""
        changed, same = right_cards(2)
        (told,) = register(changed)
        register(same)
        changed.record("earn", points=5)

        sync_wallet_passes()

        assert tokens(apns) == [told.device.push_token]

    def test_two_versions_within_a_second_have_seconds_of_their_own(
        self, right_cards: MakeCards
    ) -> None:
        """Phones tell versions apart by Last-Modified alone."""
        (card,) = right_cards(1)
        stamps = []
        for _ in range(3):
            card.record("earn", points=5)
            sync_card_to_wallets(card.key)
            stamps.append(iphone_pass(card).modified_at)

        assert len(set(stamps)) == 3

    def test_a_forced_sync_is_a_new_version(
        self, apns: ApnsEmulator, right_cards: MakeCards
    ) -> None:
        """A phone that shows something else than we think gets its pass anew."""
        (card,) = right_cards(1)
        register(card)
        tag = iphone_pass(card).change_tag

        sync_wallet_passes(selection={"kind": "cards", "cards": [card.key]}, force=True)

        assert iphone_pass(card).change_tag > tag
        assert len(apns.pushes) == 1


class TestAnswers:
    def test_a_device_that_is_gone_loses_its_registration(
        self, apns: ApnsEmulator, right_cards: MakeCards
    ) -> None:
        """Case 23: 410 is no failure; nobody has the card any more."""
        (card,) = right_cards(1)
        (phone,) = register(card)
        apns.fail(phone.device.push_token, "unregistered")
        card.record("earn", points=5)

        report = sync_wallet_passes()

        assert report.status == "succeeded"
        assert AppleRegistration.objects.count() == AppleDevice.objects.count() == 0
        gone = iphone_pass(card)
        assert gone.presence == WalletPass.Presence.REMOVED
        assert gone.presence_source == WalletPass.PresenceSource.ANSWER

    def test_a_device_that_came_back_since_keeps_its_registration(
        self, apns: ApnsEmulator, right_cards: MakeCards
    ) -> None:
        """The 410 speaks of a time before the token was sent to us again."""
        (card,) = right_cards(1)
        (phone,) = register(card)
        AppleDevice.objects.update(token_refreshed_at=timezone.now() + timedelta(hours=1))
        apns.fail(phone.device.push_token, "unregistered")
        card.record("earn", points=5)

        report = sync_wallet_passes()

        assert report.status == "succeeded"
        assert AppleRegistration.objects.count() == 1

    def test_a_token_that_apns_does_not_know_is_dropped(
        self, apns: ApnsEmulator, right_cards: MakeCards
    ) -> None:
        """Case 23: BadDeviceToken, for one device of a few."""
        cards = right_cards(3)
        bad, *_ = [register(card)[0] for card in cards]
        apns.fail(bad.device.push_token, "bad_device_token")
        for card in cards:
            card.record("earn", points=5)

        report = sync_wallet_passes()

        assert report.status == "succeeded"
        assert AppleRegistration.objects.count() == 2

    def test_when_no_token_is_known_the_wallet_stops_and_forgets_nobody(
        self, apns: ApnsEmulator, right_cards: MakeCards
    ) -> None:
        """The wrong environment must not cost a shop all its phones."""
        cards = right_cards(40)
        for card in cards:
            register(card)
            card.record("earn", points=5)
        apns.fail(None, "bad_device_token")

        report = sync_wallet_passes()

        assert report.wallets["apple"]["failed"] > 0
        assert "misconfigured" in report.error
        assert AppleRegistration.objects.count() == 40

    @pytest.mark.parametrize("fault", ["bad_device_token", "device_token_not_for_topic"])
    def test_a_small_shop_with_the_wrong_certificate_forgets_nobody(
        self,
        apns: ApnsEmulator,
        right_cards: MakeCards,
        caplog: pytest.LogCaptureFixture,
        fault: str,
    ) -> None:
        """When APNs knows none of a few tokens, that says more of us than of them: it is logged."""
        cards = right_cards(3)
        for card in cards:
            register(card)
            card.record("earn", points=5)
        apns.fail(None, fault)

        sync_wallet_passes()

        assert AppleRegistration.objects.count() == 3
        assert "knew none of 3 push tokens" in caplog.text

    def test_a_push_that_fails_is_tried_four_times_and_again_by_the_next_run(
        self, apns: ApnsEmulator, right_cards: MakeCards
    ) -> None:
        """The version stays as it is; only the push is made up for."""
        (card,) = right_cards(1)
        (phone,) = register(card)
        apns.fail(phone.device.push_token, "service_unavailable")
        card.record("earn", points=5)

        failed = sync_wallet_passes()

        tag = iphone_pass(card).change_tag
        assert failed.failed_card_ids == (card.key,)
        assert (failed.failures[0].code, failed.failures[0].attempts) == ("unavailable", 4)
        assert len(apns.pushes) == 4
        assert iphone_pass(card).is_due
        apns.heal()

        report = sync_wallet_passes()

        assert report.status == "succeeded"
        assert iphone_pass(card).change_tag == tag
        assert len(apns.pushes) == 5

    def test_of_two_devices_only_the_one_that_was_not_told_is_told_again(
        self, apns: ApnsEmulator, right_cards: MakeCards
    ) -> None:
        """A card on two phones: one is out of reach of APNs for a while."""
        (card,) = right_cards(1)
        (lucky,), (other,) = register(card), register(card)
        apns.fail(other.device.push_token, "service_unavailable")
        card.record("earn", points=5)
        assert sync_wallet_passes().failed_card_ids == (card.key,)
        assert tokens(apns).count(lucky.device.push_token) == 1
        apns.heal()

        sync_wallet_passes()

        assert tokens(apns).count(lucky.device.push_token) == 1
        assert tokens(apns).count(other.device.push_token) == 5

    def test_a_push_that_apns_refuses_fails_the_card_at_once(
        self, apns: ApnsEmulator, right_cards: MakeCards
    ) -> None:
        """What is wrong with the push itself no retry mends."""
        (card,) = right_cards(1)
        (phone,) = register(card)
        apns.fail(phone.device.push_token, "payload_too_large")
        card.record("earn", points=5)

        report = sync_wallet_passes()

        assert [(row.code, row.attempts) for row in report.failures] == [("push_refused", 1)]

    def test_too_many_pushes_to_one_device_are_left_to_the_next_run(
        self, apns: ApnsEmulator, right_cards: MakeCards
    ) -> None:
        """429 for a token is never tried in a loop, and is not forgotten either."""
        (card,) = right_cards(1)
        (phone,) = register(card)
        apns.fail(phone.device.push_token, "too_many_requests")
        card.record("earn", points=5)

        assert sync_wallet_passes().failed_card_ids == (card.key,)
        assert len(apns.pushes) == 1
        apns.heal()

        assert sync_wallet_passes().status == "succeeded"
        assert len(apns.pushes) == 2

    @pytest.mark.parametrize("fault", ["reset_stream", "reset_connection", "hang"])
    def test_a_broken_connection_is_for_the_ladder(
        self, apns: ApnsEmulator, right_cards: MakeCards, fault: str
    ) -> None:
        """The same run tries again, over a connection that works."""
        (card,) = right_cards(1)
        (phone,) = register(card)
        apns.fail(phone.device.push_token, fault, times=1)
        card.record("earn", points=5)

        report = sync_wallet_passes()

        assert report.status == "succeeded"
        assert report.wallets["apple"]["attempts"] == 2
        phone.refresh_from_db()
        assert phone.pushed_tag == iphone_pass(card).change_tag

    def test_apple_down_does_not_hold_up_google(
        self, apns: ApnsEmulator, google: GoogleEmulator, right_cards: MakeCards
    ) -> None:
        """Case 53: the card is right at Google, and failed for Apple alone."""
        (card,) = right_cards(1)
        register(card)
        card.record("earn", points=5)
        apns.stop()

        report = sync_wallet_passes()

        assert balance_at(google, card) == 5
        assert report.wallets["google"]["updated"] == 1
        assert [(row.wallet, row.code) for row in report.failures] == [("apple", "network")]

    def test_a_refused_certificate_stops_apple_and_keeps_everything_due(
        self, apns: ApnsEmulator, google: GoogleEmulator, right_cards: MakeCards
    ) -> None:
        """A configuration error is one message, not one per card; Google goes on."""
        cards = right_cards(30)
        for card in cards:
            register(card)
            card.record("earn", points=5)
        apns.fail(None, "topic_disallowed")

        report = sync_wallet_passes()

        assert report.wallets["google"]["updated"] == 30
        assert WalletPass.objects.filter(wallet="apple").due().count() == 30
        assert len(apns.pushes) <= 16
        assert "apple" in report.error


class TestReminders:
    @pytest.fixture(autouse=True)
    def _one_minute(self, configure_apple: Callable[..., None]) -> None:
        configure_apple(reminders=2, remind_after_seconds=7200)

    def told(self, apns: ApnsEmulator, right_cards: MakeCards) -> tuple[LoyaltyCard, str]:
        (card,) = right_cards(1)
        (phone,) = register(card)
        card.record("earn", points=5)
        sync_wallet_passes()
        assert len(apns.pushes) == 1
        return card, phone.device.push_token

    def test_a_phone_that_does_not_come_is_told_again_but_not_for_ever(
        self, apns: ApnsEmulator, right_cards: MakeCards
    ) -> None:
        """Twice at most, two hours apart, without a new version."""
        card, _ = self.told(apns, right_cards)
        tag = iphone_pass(card).change_tag
        pushes = []
        for hours in (1, 3, 4, 6, 9, 12):
            with time_machine.travel(timezone.now() + timedelta(hours=hours)):
                sync_wallet_passes()
            pushes.append(len(apns.pushes))

        assert pushes == [1, 2, 2, 3, 3, 3]
        assert iphone_pass(card).change_tag == tag

    def test_a_phone_that_has_fetched_is_left_in_peace(
        self, apns: ApnsEmulator, right_cards: MakeCards
    ) -> None:
        """The fetch ends the waiting."""
        self.told(apns, right_cards)
        AppleRegistration.objects.update(news_since=None)

        with time_machine.travel(timezone.now() + timedelta(hours=3)):
            sync_wallet_passes()

        assert len(apns.pushes) == 1

    def test_a_phone_that_was_told_too_often_is_not_reminded(
        self, apns: ApnsEmulator, right_cards: MakeCards
    ) -> None:
        """Phones turn updates off for passes that push too much; a reminder can wait."""
        self.told(apns, right_cards)
        AppleDevice.objects.update(throttle_score=4)

        with time_machine.travel(timezone.now() + timedelta(hours=3)):
            sync_wallet_passes()

        assert len(apns.pushes) == 1

    def test_a_new_version_begins_the_count_anew(
        self, apns: ApnsEmulator, right_cards: MakeCards
    ) -> None:
        """What was left unfetched of the old version says nothing of the new one."""
        card, _ = self.told(apns, right_cards)
        AppleRegistration.objects.update(reminders=2)
        card.record("earn", points=5)

        sync_wallet_passes()

        assert AppleRegistration.objects.get().reminders == 0
        assert len(apns.pushes) == 2


class TestThrottle:
    """A phone ends updates for who pushes too often: what can wait does, and is not forgotten."""

    def busy(self, right_cards: MakeCards) -> tuple[LoyaltyCard, AppleRegistration]:
        """A card that changed, on a phone that has just had a few pushes in a row."""
        (card,) = right_cards(1)
        (phone,) = register(card)
        AppleDevice.objects.update(throttle_score=1.9, last_pushed_at=timezone.now())
        card.record("earn", points=5)
        return card, phone

    def test_a_push_that_can_wait_waits(self, apns: ApnsEmulator, right_cards: MakeCards) -> None:
        """The new version is on record for the phone's own questions; a later run rings, once."""
        card, phone = self.busy(right_cards)

        report = sync_wallet_passes()

        assert report.status == "succeeded"
        assert report.wallets["apple"]["pushes"] == 0
        assert balance_on_record(card) == 5
        assert not iphone_pass(card).is_due
        pushes = []
        for hours in (0.5, 1, 2.5, 3, 3.5):
            with time_machine.travel(timezone.now() + timedelta(hours=hours)):
                sync_wallet_passes()
            pushes.append(len(apns.pushes))
        # 1.9 and a gap of two hours and a half: the push costs nothing, the score falls.
        assert pushes == [0, 0, 1, 1, 1]
        phone.refresh_from_db()
        assert phone.pushed_tag == iphone_pass(card).change_tag
        assert phone.reminders == 0
        assert AppleDevice.objects.get().throttle_score < 1.9

    @pytest.mark.parametrize("how", ["real_time", "asked_for", "forced", "notify"])
    def test_what_somebody_waits_for_does_not(
        self, apns: ApnsEmulator, right_cards: MakeCards, how: str
    ) -> None:
        """A customer at the till, an operator who re-syncs a card."""
        card, _ = self.busy(right_cards)
        match how:
            case "real_time":
                sync_card_to_wallets(card.key)
            case "asked_for":
                sync_wallet_passes(selection={"kind": "cards", "cards": [card.key]})
            case "forced":
                sync_wallet_passes(selection={"kind": "all"}, force=True)
            case "notify":
                sync_wallet_passes(notify=True)
        assert len(apns.pushes) == 1

    def test_what_is_urgent_may_have_a_limit_too(
        self,
        apns: ApnsEmulator,
        right_cards: MakeCards,
        configure_apple: Callable[..., None],
    ) -> None:
        """For a shop whose tills ring every minute."""
        configure_apple(urgent_throttle_score=2.5)
        card, _ = self.busy(right_cards)
        sync_card_to_wallets(card.key)
        assert apns.pushes == []

    def test_no_limit(
        self,
        apns: ApnsEmulator,
        right_cards: MakeCards,
        configure_apple: Callable[..., None],
    ) -> None:
        """None: every change is pushed at once."""
        configure_apple(throttle_score=None)
        self.busy(right_cards)
        sync_wallet_passes()
        assert len(apns.pushes) == 1

    def test_only_the_busy_phone_waits(self, apns: ApnsEmulator, right_cards: MakeCards) -> None:
        """A card on two phones: the other one is told at once."""
        card, busy = self.busy(right_cards)
        (quiet,) = register(card)
        AppleRegistration.objects.filter(pk=quiet.pk).update(pushed_tag=0)
        sync_wallet_passes()
        assert tokens(apns) == [quiet.device.push_token]
        assert busy.device.push_token not in tokens(apns)

    def test_one_urgent_pass_rings_for_the_others(
        self, apns: ApnsEmulator, right_cards: MakeCards
    ) -> None:
        """The phone fetches all that changed when it is woken: nothing is left to wait for."""
        cards = right_cards(2)
        rows = register(*cards)
        AppleDevice.objects.update(throttle_score=4, last_pushed_at=timezone.now())
        for card in cards:
            card.record("earn", points=5)
        WalletPass.objects.filter(pk=rows[0].wallet_pass_id).update(
            priority=WalletPass.Priority.ASKED
        )
        sync_wallet_passes()
        assert len(apns.pushes) == 1
        for row in rows:
            row.refresh_from_db()
            assert row.pushed_tag == row.wallet_pass.change_tag

    @pytest.mark.parametrize("option", ["throttle_score", "urgent_throttle_score"])
    def test_a_score_below_none_makes_no_sense(
        self, configure_apple: Callable[..., None], option: str
    ) -> None:
        """It is refused by name."""
        configure_apple(**{option: -1})
        with pytest.raises(ImproperlyConfigured, match=option):
            get_wallets()


def test_real_time_and_batch_share_the_ladder(
    apns: ApnsEmulator, configure: Configure, right_cards: MakeCards
) -> None:
    """A single delivery retries, too, and reports without a run."""
    (card,) = right_cards(1)
    (phone,) = register(card)
    apns.fail(phone.device.push_token, "service_unavailable", times=2)
    card.record("earn", points=5)

    report = sync_card_to_wallets(card.key, wallet="apple")

    assert report.run_id is None
    assert report.wallets["apple"]["attempts"] == 3
    assert balance_on_record(card) == 5


class TestLeavingDuringARun:
    """Case 55: a customer removes the card while a run is at it."""

    @pytest.mark.django_db(transaction=True)
    def test_a_phone_that_unregisters_during_its_push_is_no_failure(
        self, apns: ApnsEmulator, right_cards: MakeCards
    ) -> None:
        """The push was taken, the phone has gone: the card is right, and nobody is told again."""
        leaving, staying = right_cards(2)
        (registration,) = register(leaving)
        register(staying)
        for card in (leaving, staying):
            card.record("earn", points=5)

        leaver = registration.device

        def forget() -> None:
            AppleDevice.objects.filter(pk=leaver.pk).delete()
            connection.close()

        def unregister(push: Push) -> None:
            # Django lets nobody ask the database from an event loop's own thread.
            if push.push_token == leaver.push_token:
                asking = threading.Thread(target=forget)
                asking.start()
                asking.join()

        apns.on_push = unregister

        report = sync_wallet_passes()

        assert report.status == "succeeded"
        assert report.failed_card_ids == ()
        assert iphone_pass(leaving).due_at is None
        assert AppleRegistration.objects.get().wallet_pass == iphone_pass(staying)
        assert sync_wallet_passes().cards["synced"] == 0
        assert len(apns.pushes) == 2
