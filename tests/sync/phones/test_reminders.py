"""Phones that were told and do not come are told again, a few times."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from loyalty_wallet.emulator.apple import ApnsEmulator
from loyalty_wallet.models import AppleDevice, AppleRegistration, LoyaltyCard
from loyalty_wallet.sync import sync_wallet_passes
from tests.phonefront import iphone_pass, register

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("configure_apple")]


class TestReminders:
    @pytest.fixture(autouse=True)
    def _two_hours(self, configure_apple: Callable[..., None]) -> None:
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
