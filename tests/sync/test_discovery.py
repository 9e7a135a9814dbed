"""Changes that nobody announced: how far back a run looks for them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, LoyaltyTransaction, SyncState
from loyalty_wallet.sync import sync_wallet_passes
from tests.shopfront import Configure, balance_at

from .window import forget_the_window

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db


class TestDiscovery:
    def test_bulk_changes_are_found_in_the_window(
        self, google: GoogleEmulator, right_cards: MakeCards
    ) -> None:
        """Transactions of the last hour count though nobody touched the cards."""
        cards = right_cards(3)
        forget_the_window()
        LoyaltyCard.objects.filter(pk=cards[0].pk).update(points_balance=8)
        LoyaltyTransaction.objects.bulk_create(
            [LoyaltyTransaction(card=cards[0], kind="earn", points=8)]
        )

        report = sync_wallet_passes()

        assert report.cards["selected"] == 1
        assert balance_at(google, cards[0]) == 8

    def test_a_gap_in_the_schedule_is_covered(
        self, google: GoogleEmulator, right_cards: MakeCards
    ) -> None:
        """The watermark reaches back over hours without a run, and a late commit before it."""
        cards = right_cards(2)
        forget_the_window()
        five_hours = timezone.now() - timedelta(hours=5)
        SyncState.objects.update(scanned_until=five_hours)
        for card, minutes in ((cards[0], 30), (cards[1], -5)):
            LoyaltyCard.objects.filter(pk=card.pk).update(
                points_balance=8, updated_at=five_hours + timedelta(minutes=minutes)
            )

        sync_wallet_passes()

        assert [balance_at(google, card) for card in cards] == [8, 8]

    def test_the_look_back_has_an_end(self, right_cards: MakeCards) -> None:
        """After years of silence a run looks back a week, not years."""
        right_cards(1)
        forget_the_window()
        SyncState.objects.update(scanned_until=timezone.now() - timedelta(days=900))
        LoyaltyCard.objects.update(updated_at=timezone.now() - timedelta(days=8))

        assert sync_wallet_passes().cards["selected"] == 0

    def test_a_source_that_cannot_tell_does_not_stop_the_run(
        self, google: GoogleEmulator, configure: Configure, right_cards: MakeCards
    ) -> None:
        """What is known to be due goes out, and the run says what was wrong."""
        (card,) = right_cards(1)
        card.record("earn", points=5)
        configure(CARD_SOURCE="tests.sync.sources.ForgetfulSource")

        report = sync_wallet_passes()

        assert balance_at(google, card) == 5
        assert "Discovery failed" in report.error
