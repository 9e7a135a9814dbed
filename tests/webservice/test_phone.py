"""A card on a phone, from adding to removing: the whole way, as a customer sees it."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from loyalty_wallet.emulator.apple import ApnsEmulator, Phone
from loyalty_wallet.models import AppleDevice, AppleRegistration, LoyaltyCard, WalletPass
from loyalty_wallet.sync import sync_wallet_passes
from loyalty_wallet.webservice.archives import archive_of
from tests.phonefront import iphone_pass

from .till import change

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db(transaction=True)


class TestPhone:
    """The whole way, as a customer sees it."""

    def test_the_balance_changes_on_the_phone(
        self, card: LoyaltyCard, archive: bytes, phone: Phone, apns: ApnsEmulator
    ) -> None:
        """Added, registered, changed, pushed, listed, fetched, verified, shown, and known to be."""
        phone.add(archive)
        serial_number = iphone_pass(card).remote_id
        assert phone.passes[serial_number].balance == 0
        change(card, points=40)
        assert [push.push_token for push in apns.pushes] == [phone.push_token]

        phone.wake()

        assert phone.passes[serial_number].balance == 40
        assert phone.complaints == []
        row = AppleRegistration.objects.get()
        version = iphone_pass(card).change_tag
        assert row.pushed_tag == row.listed_tag == row.fetched_tag == version
        assert row.last_pushed_at is not None
        assert row.last_listed_at is not None
        assert row.last_fetched_at is not None
        assert row.last_pushed_at <= row.last_listed_at <= row.last_fetched_at
        assert row.news_since is None

    def test_apns_wakes_the_phone(
        self, card: LoyaltyCard, archive: bytes, phone: Phone, apns: ApnsEmulator
    ) -> None:
        """With nobody's help: the push is what makes it fetch."""
        phone.add(archive)
        woken = threading.Event()

        def wake() -> None:
            phone.wake()
            woken.set()

        apns.on_push = lambda push: threading.Thread(target=wake).start()
        change(card, points=40)

        assert woken.wait(10)
        assert phone.passes[iphone_pass(card).remote_id].balance == 40

    def test_several_passes_one_bell(
        self, url: str, right_cards: MakeCards, phone: Phone, apns: ApnsEmulator
    ) -> None:
        """All that changed is listed, whatever the number of pushes."""
        cards = right_cards(3)
        for one in cards:
            phone.add(archive_of(iphone_pass(one)))
        for points, one in enumerate(cards[:2], start=1):
            one.record("earn", points=points)
        sync_wallet_passes()
        phone.wake()

        balances = [phone.passes[iphone_pass(one).remote_id].balance for one in cards]
        assert balances == [1, 2, 0]
        assert phone.complaints == []

    def test_removed_and_added_again(
        self, card: LoyaltyCard, archive: bytes, phone: Phone, apns: ApnsEmulator
    ) -> None:
        """Case 55: a card that its customer has deleted is no failure, and may come back."""
        phone.add(archive)
        assert iphone_pass(card).presence == WalletPass.Presence.IN_WALLET
        assert phone.remove(iphone_pass(card).remote_id) == 200
        gone = iphone_pass(card)
        assert gone.presence == WalletPass.Presence.REMOVED
        assert gone.presence_source == WalletPass.PresenceSource.REGISTRATION
        assert gone.presence_at is not None
        assert AppleDevice.objects.count() == 0
        change(card)
        assert apns.pushes == []
        assert not iphone_pass(card).is_due

        phone.add(archive)

        assert iphone_pass(card).presence == WalletPass.Presence.IN_WALLET
        assert phone.passes[iphone_pass(card).remote_id].balance == 5

    def test_a_change_between_download_and_registration_is_healed(
        self, card: LoyaltyCard, archive: bytes, phone: Phone, apns: ApnsEmulator
    ) -> None:
        """The phone asks for the list as soon as it is registered."""
        change(card, points=7)
        phone.add(archive)
        assert phone.passes[iphone_pass(card).remote_id].balance == 7
        assert apns.pushes == []

    def test_a_phone_after_a_restore_gets_everything(
        self, card: LoyaltyCard, archive: bytes, phone: Phone
    ) -> None:
        """A tag from a web service of before, or none."""
        phone.add(archive)
        change(card, points=9)
        phone.tag = "2026-11-23T12:00:00+00:00"
        phone.wake()
        assert phone.passes[iphone_pass(card).remote_id].balance == 9

    def test_a_database_after_a_restore_gives_everything(
        self, card: LoyaltyCard, archive: bytes, phone: Phone
    ) -> None:
        """The phone has a tag that our counter has not reached yet."""
        phone.add(archive)
        change(card, points=9)
        phone.tag = "999999"
        phone.wake()
        assert phone.passes[iphone_pass(card).remote_id].balance == 9
