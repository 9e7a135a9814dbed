"""The slow audit: nothing is wrong for more than a day, whoever forgot to say so."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, SyncState, WalletPass
from loyalty_wallet.sync import sync_wallet_passes
from loyalty_wallet.sync.audit import SLICES, audit
from tests.shopfront import Configure, balance_at

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db


@pytest.fixture
def silent_cards(right_cards: MakeCards) -> MakeCards:
    """Cards that are right and outside the window of discovery."""

    def make(count: int) -> list[LoyaltyCard]:
        cards = right_cards(count)
        LoyaltyCard.objects.update(updated_at=timezone.now() - timedelta(days=30))
        return cards

    return make


def let_an_hour_pass() -> None:
    SyncState.objects.filter(scope="audit").update(
        scanned_until=timezone.now() - timedelta(hours=1)
    )


def test_a_day_of_audits_sees_every_pass(silent_cards: MakeCards) -> None:
    """24 slices find every card that was changed in silence, each of them once."""
    silent_cards(50)
    LoyaltyCard.objects.update(points_balance=9)

    found = []
    for _ in range(SLICES):
        found.append(audit())
        let_an_hour_pass()

    assert sum(found) == 50
    assert max(found) <= 3
    assert WalletPass.objects.due().count() == 50


def test_it_starts_over_when_it_has_seen_everything(silent_cards: MakeCards) -> None:
    """The day after, the same pass is looked at again."""
    (card,) = silent_cards(1)
    assert audit() == 0
    let_an_hour_pass()
    LoyaltyCard.objects.filter(pk=card.pk).update(points_balance=9)
    assert audit() == 1


def test_it_sends_nothing_and_runs_once_an_hour(
    google: GoogleEmulator, silent_cards: MakeCards
) -> None:
    """A look costs no request; a second look within the hour does not happen."""
    silent_cards(3)
    audit()
    LoyaltyCard.objects.update(points_balance=9)
    assert audit() == 0
    assert google.requests == []


def test_a_scheduled_run_delivers_what_it_finds(
    google: GoogleEmulator, silent_cards: MakeCards
) -> None:
    """Found and delivered in the same run."""
    (card,) = silent_cards(1)
    LoyaltyCard.objects.update(points_balance=9)

    report = sync_wallet_passes(trigger="schedule", audits=True)

    assert report.cards["synced"] == 1
    assert balance_at(google, card) == 9


def test_a_slice_that_was_interrupted_is_gone_on_with(
    configure: Configure, silent_cards: MakeCards, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The place is kept after every chunk."""
    monkeypatch.setattr("loyalty_wallet.sync.audit.CHUNK_SIZE", 1)
    monkeypatch.setattr("loyalty_wallet.sync.audit.SLICES", 1)
    cards = silent_cards(4)
    LoyaltyCard.objects.filter(pk=cards[2].pk).update(tier="boom", points_balance=9)
    configure(CARD_SOURCE="tests.sync.sources.BrokenOffSource")
    with pytest.raises(KeyboardInterrupt):
        audit()
    assert (
        SyncState.objects.get(scope="audit").cursor
        == WalletPass.objects.get(card_key=cards[1].key).pk
    )

    configure()
    let_an_hour_pass()

    assert audit() == 1
