"""A new version on record, then a push to each device behind it."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import connection

from loyalty_wallet.emulator.apple import ApnsEmulator
from loyalty_wallet.emulator.apple.apns import Push
from loyalty_wallet.models import AppleDevice, AppleRegistration, LoyaltyCard, WalletPass
from loyalty_wallet.sync import sync_card_to_wallets, sync_wallet_passes
from tests.phonefront import iphone_pass, register
from tests.shopfront import Configure

from .records import balance_on_record, tokens

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("configure_apple")]


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
