"""One honest paragraph: why a pass is or is not right."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.emulator.apple import ApnsEmulator
from loyalty_wallet.models import (
    AppleRegistration,
    DatabaseNow,
    LoyaltyCard,
    LoyaltyProgram,
    SyncFailure,
    SyncRun,
    WalletPass,
)
from loyalty_wallet.sync import Selection, sync_wallet_passes
from loyalty_wallet.sync.explaining.explanation import explain
from loyalty_wallet.sync.leases import claim
from loyalty_wallet.sync.ledger import Ledger
from tests.phonefront import iphone_pass, register
from tests.shopfront import Configure, pass_of

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db


@pytest.fixture
def card(right_cards: MakeCards) -> LoyaltyCard:
    """A card whose passes are right."""
    (card,) = right_cards(1)
    return card


def assert_says(row: WalletPass, *phrases: str) -> None:
    said = explain(row)
    for phrase in phrases:
        assert phrase in said, said


def test_a_right_pass(card: LoyaltyCard) -> None:
    """Nothing to do, and no more is said."""
    assert explain(pass_of(card)) == (
        "The phone is right: what was delivered is what the card shows now."
    )


def test_a_changed_card_that_nobody_has_come_to(card: LoyaltyCard) -> None:
    """Since when, what differs, and who takes it up."""
    card.record("earn", points=5)
    assert_says(
        pass_of(card),
        "the phone is wrong. What differs: Points.",
        "No worker has come to it since; the next run sends it.",
    )


def test_a_card_that_waits_for_runs_that_do_not_come(card: LoyaltyCard) -> None:
    """An hour without any run is worth a look."""
    card.record("earn", points=5)
    long_ago = DatabaseNow() - timedelta(hours=3)
    WalletPass.objects.update(due_at=long_ago)
    SyncRun.objects.update(finished_at=long_ago - timedelta(hours=1))
    assert_says(pass_of(card), "look whether the schedule and the workers are alive")


def test_a_new_card(make_cards: MakeCards) -> None:
    """A card that was never delivered."""
    (card,) = make_cards(1)
    assert_says(pass_of(card), "The card has not come to this wallet yet.", "the next run sends it")


def test_a_card_whose_last_attempt_failed(google: GoogleEmulator, card: LoyaltyCard) -> None:
    """When, with what, and what to do."""
    google.fail(status=400)
    card.record("earn", points=5)
    sync_wallet_passes()
    failure = SyncFailure.objects.get()
    assert_says(
        pass_of(card),
        "the phone is probably wrong. Not as last confirmed: Points.",
        "The last attempt, on",
        f"failed (rejected): {failure.message}",
        "Correct the card or program data",
    )


def test_a_card_whose_failure_is_no_longer_on_record(
    google: GoogleEmulator, card: LoyaltyCard
) -> None:
    """History is pruned; the pass still knows its last code."""
    google.fail(status=400)
    card.record("earn", points=5)
    sync_wallet_passes()
    SyncFailure.objects.all().delete()
    assert_says(pass_of(card), "failed (rejected).", "Correct the card or program data")


def test_a_card_set_aside(google: GoogleEmulator, card: LoyaltyCard, configure: Configure) -> None:
    """It is said that nothing happens by itself any more."""
    configure(SET_ASIDE_AFTER=2)
    google.fail(status=400)
    card.record("earn", points=5)
    sync_wallet_passes()
    sync_wallet_passes()
    assert_says(pass_of(card), "It is set aside after 2 failing runs")


def test_a_card_put_off(card: LoyaltyCard) -> None:
    """The breaker kept it from being tried."""
    card.record("earn", points=5)
    (scope,) = Selection().scopes()
    Ledger(SyncRun.objects.create(), worker="test").defer(
        "google", scope, reason="The provider is down."
    )
    assert_says(pass_of(card), "The last run put it off: The provider is down", "takes it up")


def test_a_card_in_a_worker_s_hands(card: LoyaltyCard) -> None:
    """Who is at it needs no help."""
    card.record("earn", points=5)
    (scope,) = Selection().scopes()
    claim(scope, limit=1)
    assert_says(pass_of(card), "A worker is sending it right now; its lease ends at")


def test_a_card_whose_workers_died(card: LoyaltyCard) -> None:
    """They may have sent something before they died."""
    WalletPass.objects.touch()
    WalletPass.objects.update(takeovers=2)
    assert_says(
        pass_of(card), "What the phone shows is not certain", "2 workers died while they held"
    )


def test_a_wallet_that_was_stopped(card: LoyaltyCard, configure: Configure) -> None:
    """A card that was not tried for its wallet's sake is told of the wallet's trouble."""
    configure(credentials="/nowhere/key.json")
    card.record("earn", points=5)
    run_id = sync_wallet_passes().run_id
    assert_says(
        pass_of(card),
        f"run {run_id} had to stop this wallet (misconfigured)",
        "Correct the wallet's OPTIONS",
    )


def test_a_change_behind_our_back(card: LoyaltyCard) -> None:
    """Not due, and yet wrong."""
    LoyaltyCard.objects.update(points_balance=3)
    assert_says(
        pass_of(card), "The phone is wrong. What differs: Points.", "changed behind our back"
    )


def test_a_card_that_is_marked_without_a_change(card: LoyaltyCard) -> None:
    """Due, but right."""
    WalletPass.objects.touch()
    assert_says(pass_of(card), "The phone is right", "a worker will find it unchanged")


def test_a_card_that_cannot_be_shown(card: LoyaltyCard) -> None:
    """The provider's rules are named before anything is sent."""
    LoyaltyCard.objects.update(points_balance=2**40)
    WalletPass.objects.touch()
    assert_says(pass_of(card), "cannot be made (invalid_card): loyaltyPoints.balance")


def test_wallets_to_which_nothing_is_sent(card: LoyaltyCard, configure: Configure) -> None:
    """A program that left, a wallet that is not there, a card that is gone, wrong settings."""
    LoyaltyProgram.objects.update(google_wallet="")
    assert_says(pass_of(card), "program does not name this wallet", "stays on the phone.")
    row = pass_of(card)
    row.wallet = "elsewhere"
    assert_says(row, "no wallet “elsewhere” is configured here")
    row = pass_of(card)
    card.delete()
    assert_says(row, "The card itself is gone", "is to be made void and blank")
    configure(api_url="http://example.com")
    assert_says(row, "the settings are wrong", "api_url must be https")


def test_a_card_that_is_not_valid_any_more(card: LoyaltyCard) -> None:
    """The phone shows it as void, and the customer may have removed it."""
    card.is_active = False
    card.save()
    sync_wallet_passes()
    WalletPass.objects.update(presence=WalletPass.Presence.REMOVED)
    assert_says(pass_of(card), "The phone is right", "is not active", "has removed it")


@pytest.mark.usefixtures("configure_apple")
class TestIPhones:
    def test_nobody_holds_it(self, card: LoyaltyCard) -> None:
        """No device, no push."""
        assert_says(iphone_pass(card), "No device is registered for it")

    def test_pushed_but_not_fetched(self, card: LoyaltyCard) -> None:
        """Told, and it has not come."""
        register(card)
        register(card)
        card.record("earn", points=5)
        sync_wallet_passes()
        AppleRegistration.objects.filter(pk=AppleRegistration.objects.first().pk).update(  # type: ignore[union-attr]
            news_since=None
        )
        assert_says(
            iphone_pass(card),
            "not all of them have fetched it",
            "Of 2 devices, 1 have not fetched",
            "It was told on",
        )

    def test_pushes_refused(self, apns: ApnsEmulator, card: LoyaltyCard) -> None:
        """The version is on record, the devices were not told of it, and why."""
        register(card)
        apns.fail(None, "bad_topic")
        card.record("earn", points=5)
        sync_wallet_passes()
        assert_says(
            iphone_pass(card),
            "on record, but not all of them have fetched",
            "failed (",
            "not told of it",
        )

    def test_fetched(self, card: LoyaltyCard) -> None:
        """It is right, and known to be."""
        register(card)
        AppleRegistration.objects.update(last_fetched_at=timezone.now())
        assert_says(iphone_pass(card), "The phone is right", "and has this version.")


def test_an_explanation_takes_few_queries(google: GoogleEmulator, right_cards: MakeCards) -> None:
    """The card, its program twice, its devices, its failure, its lease."""
    (card,) = right_cards(1)
    google.fail(status=400)
    card.record("earn", points=5)
    sync_wallet_passes()
    row = pass_of(card)
    with CaptureQueriesContext(connection) as queries:
        explain(row)
    assert len(queries) <= 6
