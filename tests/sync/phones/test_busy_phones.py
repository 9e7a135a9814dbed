"""Phones that have just had many pushes: what can wait does, what somebody waits for does not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from loyalty_wallet.emulator.apple import ApnsEmulator
from loyalty_wallet.models import AppleDevice, AppleRegistration, LoyaltyCard, WalletPass
from loyalty_wallet.registry import get_wallets
from loyalty_wallet.sync import sync_card_to_wallets, sync_wallet_passes
from tests.phonefront import iphone_pass, register

from .records import balance_on_record, tokens

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("configure_apple")]


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
