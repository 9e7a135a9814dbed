"""What becomes of the card, and of the phone, when APNs does not take a push."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.emulator.apple import ApnsEmulator
from loyalty_wallet.models import AppleDevice, AppleRegistration, LoyaltyCard, WalletPass
from loyalty_wallet.sync import sync_wallet_passes
from tests.phonefront import iphone_pass, register
from tests.shopfront import balance_at

from .records import tokens

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("configure_apple")]


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
