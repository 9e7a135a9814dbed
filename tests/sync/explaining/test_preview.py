"""What a run would do, told beforehand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, SyncRun, WalletPass
from loyalty_wallet.sync import Selection, preview_sync, sync_wallet_passes
from tests.shopfront import Configure
from tests.sync.window import forget_the_window

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db


class TestPreview:
    def test_it_says_what_a_run_would_do(
        self, google: GoogleEmulator, configure: Configure, right_cards: MakeCards
    ) -> None:
        """The same counts as the run that follows, also for changes that nobody announced."""
        cards = right_cards(6)
        forget_the_window()
        cards[0].record("earn", points=1)
        LoyaltyCard.objects.filter(pk=cards[1].pk).update(
            points_balance=5, updated_at=timezone.now()
        )
        WalletPass.objects.filter(card_key=cards[2].key).touch()
        LoyaltyCard.objects.filter(pk=cards[3].pk).update(points_balance=2**40)
        WalletPass.objects.filter(card_key=cards[3].key).touch()

        preview = preview_sync(Selection())
        report = sync_wallet_passes()

        assert preview.cards == report.cards
        assert preview.cards["synced"] == 2
        assert preview.failed_card_ids == report.failed_card_ids

    def test_it_writes_and_sends_nothing(
        self, google: GoogleEmulator, right_cards: MakeCards
    ) -> None:
        """No request, no run, no change of any pass."""
        cards = right_cards(3)
        cards[0].record("earn", points=1)
        before = list(WalletPass.objects.order_by("pk").values())
        runs = SyncRun.objects.count()

        preview_sync(Selection.of_all())
        preview_sync(Selection.of_cards([cards[1].key]))

        assert list(WalletPass.objects.order_by("pk").values()) == before
        assert SyncRun.objects.count() == runs
        assert google.requests == []
