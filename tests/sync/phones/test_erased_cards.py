"""Phones that hold an erased card: told, then forgotten."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from loyalty_wallet.emulator.apple import ApnsEmulator
from loyalty_wallet.models import AppleDevice, AppleRegistration, LoyaltyCard, WalletPass
from loyalty_wallet.sync import erase_card, sync_wallet_passes
from tests.phonefront import iphone_pass, register

MakeCards = Callable[[int], list[LoyaltyCard]]

State = WalletPass.State

pytestmark = pytest.mark.django_db


@pytest.mark.usefixtures("configure_apple")
class TestApple:
    def test_phones_are_told_and_then_forgotten(
        self, apns: ApnsEmulator, right_cards: MakeCards
    ) -> None:
        """The void pass is on record before the push; the phone goes when it has fetched it."""
        card, other = right_cards(2)
        (mine,) = register(card)
        (both, _) = register(card, other)
        erase_card(card.key)

        sync_wallet_passes()

        row = iphone_pass(card)
        content = row.payload["pass"]
        assert row.state == State.ERASING
        assert content["voided"] is True
        assert content["storeCard"] == {}
        assert content["organizationName"] == "Corner Café"
        assert "barcodes" not in content
        assert len(apns.pushes) == 2
        AppleRegistration.objects.filter(wallet_pass=row).update(news_since=None)

        sync_wallet_passes()

        assert iphone_pass(card).state == State.ERASED
        assert list(AppleDevice.objects.all()) == [both.device]
        assert AppleRegistration.objects.get().wallet_pass == iphone_pass(other)
        assert not AppleDevice.objects.filter(pk=mine.device_id).exists()

    def test_a_phone_that_never_comes_is_forgotten_after_its_reminders(
        self, apns: ApnsEmulator, configure_apple: Callable[..., None], right_cards: MakeCards
    ) -> None:
        """It is told again as often as of any version, then given up."""
        configure_apple(reminders=1, remind_after_seconds=3600)
        (card,) = right_cards(1)
        register(card)
        erase_card(card.key)
        now = timezone.now()
        states = []
        for hours in range(0, 8, 2):
            with time_machine.travel(now + timedelta(hours=hours)):
                sync_wallet_passes()
                states.append(iphone_pass(card).state)

        assert states == [State.ERASING, State.ERASING, State.ERASED, State.ERASED]
        assert len(apns.pushes) == 2
        assert not AppleDevice.objects.exists()
