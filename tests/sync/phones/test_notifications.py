"""Customers are told of a higher balance at the till where their program says so, and not too often."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram, WalletNotification
from loyalty_wallet.sync import sync_card_to_wallets, sync_wallet_passes
from loyalty_wallet.sync.realtime import deliver_due_card
from tests.shopfront import balance_at

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db


@pytest.fixture
def card(right_cards: MakeCards) -> LoyaltyCard:
    """A card of a program that notifies, right at Google."""
    (card,) = right_cards(1)
    LoyaltyProgram.objects.update(notifies=True)
    return card


def was_loud(google: GoogleEmulator) -> list[bool]:
    """Say of each update so far whether it asked Google to notify the customer."""
    return ["notifyPreference" in entry.body for entry in google.object_requests]


def test_a_balance_that_rises_at_the_till_is_told(
    google: GoogleEmulator, card: LoyaltyCard
) -> None:
    """More points are good news; fewer, or another name, are none."""
    card.record("earn", points=5)
    deliver_due_card(card.key)
    card.record("redeem", points=3)
    deliver_due_card(card.key)
    card.tier = "Gold"
    card.save()
    deliver_due_card(card.key)

    assert was_loud(google) == [True, False, False]


def test_stamps_are_told_as_well(google: GoogleEmulator, card: LoyaltyCard) -> None:
    """One stamp more of ten."""
    LoyaltyProgram.objects.update(kind="hybrid")
    sync_wallet_passes(selection={"kind": "all"})
    google._service.log.clear()
    card.record("stamp", stamps=1)

    deliver_due_card(card.key)

    assert was_loud(google) == [True]


def test_a_catch_up_tells_nobody(google: GoogleEmulator, card: LoyaltyCard) -> None:
    """What a run brings up to date at three in the morning comes in silence."""
    card.record("earn", points=5)

    sync_wallet_passes()

    assert was_loud(google) == [False]


def test_nobody_is_told_by_default(google: GoogleEmulator, card: LoyaltyCard) -> None:
    """A program has to say so."""
    LoyaltyProgram.objects.update(notifies=False)
    card.record("earn", points=5)

    deliver_due_card(card.key)

    assert was_loud(google) == [False]


def test_the_fourth_of_a_day_comes_silently(google: GoogleEmulator, card: LoyaltyCard) -> None:
    """Three in 24 hours; the next balance is right all the same, and the report says so."""
    reports = []
    for _ in range(4):
        card.record("earn", points=5)
        reports.append(deliver_due_card(card.key).wallets["google"])

    assert was_loud(google) == [True, True, True, False]
    assert [counts.get("muted") for counts in reports] == [None, None, None, 1]
    assert balance_at(google, card) == 20
    with time_machine.travel(timezone.now() + timedelta(hours=25)):
        card.record("earn", points=5)
        deliver_due_card(card.key)
    assert was_loud(google)[-1] is True
    assert WalletNotification.objects.count() == 1


def test_a_run_that_notifies_keeps_to_the_cap(google: GoogleEmulator, card: LoyaltyCard) -> None:
    """--notify spends from the same three; its record counts who was not told."""
    for _ in range(4):
        card.record("earn", points=5)
        report = sync_wallet_passes(notify=True)

    assert was_loud(google) == [True, True, True, False]
    assert report.status == "succeeded"
    assert report.as_dict()["wallets"]["google"]["muted"] == 1


def test_when_google_refuses_to_notify_the_balance_lands_in_silence(
    google: GoogleEmulator, card: LoyaltyCard
) -> None:
    """Case 28: the cap is spent elsewhere; the same attempt goes on without the bell."""
    google.fail(
        status=403, reason="quotaExceeded", domain="walletobjects", endpoint="object", times=1
    )
    card.record("earn", points=5)

    report = sync_card_to_wallets(card.key)

    assert report.status == "succeeded"
    assert report.wallets["google"]["attempts"] == 1
    assert report.wallets["google"]["muted"] == 1
    assert was_loud(google) == [True, False]
    assert balance_at(google, card) == 5
    assert not WalletNotification.objects.exists()


@pytest.mark.usefixtures("configure_apple")
def test_iphones_do_not_count(google: GoogleEmulator, right_cards: MakeCards) -> None:
    """Apple notifies by the pass itself: the cap is Google's alone."""
    (card,) = right_cards(1)
    card.record("earn", points=5)

    sync_wallet_passes(notify=True)

    assert [row.wallet_pass.wallet for row in WalletNotification.objects.all()] == ["google"]
