"""Alarms that need no run: no success for long, a card that stays wrong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, SyncAlert, SyncRun, WalletPass
from loyalty_wallet.sync import sync_wallet_passes
from loyalty_wallet.sync.alarms.alerts import check_alarms
from tests.shopfront import Configure

from .judging import move_end

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_interval_of_the_schedule_is_a_setting(
    right_cards: MakeCards, configure: Configure
) -> None:
    """Who syncs once a day is not woken after two hours."""
    right_cards(1)
    move_end(SyncRun.objects.get(), timedelta(hours=47))
    assert [alert.code for alert in check_alarms()] == ["no_recent_success"]
    configure(RUN_INTERVAL=timedelta(days=1))
    assert check_alarms() == []


def test_a_schedule_that_never_ran_is_missed_since_the_first_pass(make_cards: MakeCards) -> None:
    """An installation without cards waits in silence; with cards it misses its first run."""
    assert check_alarms() == []
    make_cards(1)
    assert check_alarms() == []
    created_at = timezone.now() - timedelta(hours=3)
    WalletPass.objects.update(created_at=created_at, due_at=None)
    (alert,) = check_alarms()
    assert alert.code == "no_recent_success"
    assert alert.value == pytest.approx(3 * 3600, abs=60)
    assert alert.run_id is None


def test_a_card_that_stays_wrong_is_an_alarm(
    right_cards: MakeCards, google: GoogleEmulator
) -> None:
    """Older than two hours, in a configured wallet, not set aside; resolved by its delivery."""
    (card,) = right_cards(1)
    card.record("earn", points=1)
    assert check_alarms() == []
    WalletPass.objects.update(due_at=timezone.now() - timedelta(hours=2, minutes=1))
    (alert,) = check_alarms()
    assert (alert.code, alert.threshold) == ("oldest_due", 7200)
    assert alert.sentence == "A card has been wrong for 2 h 1 min (limit 2 h)."

    WalletPass.objects.update(state=WalletPass.State.SET_ASIDE)
    assert check_alarms() == []
    WalletPass.objects.update(state=WalletPass.State.ACTIVE, wallet="former")
    assert check_alarms() == []
    WalletPass.objects.update(wallet="google")
    assert len(check_alarms()) == 1

    sync_wallet_passes()
    assert check_alarms() == []
    assert SyncAlert.objects.filter(code="oldest_due").count() == 2


def test_an_open_alarm_shows_how_bad_it_is_by_now(right_cards: MakeCards) -> None:
    """It is told once, while its row keeps up."""
    (card,) = right_cards(1)
    card.record("earn", points=1)
    for hours in (3, 9):
        WalletPass.objects.update(due_at=timezone.now() - timedelta(hours=hours))
        (alert,) = check_alarms()
        assert alert.value == pytest.approx(hours * 3600, abs=60)
