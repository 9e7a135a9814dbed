"""The garbage collector during a run."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard
from loyalty_wallet.sync import sync_card_to_wallets, sync_wallet_passes
from loyalty_wallet.sync.pump.heap import settled_heap
from loyalty_wallet.sync.pump.intake import Intake
from loyalty_wallet.sync.pump.shares import Share


def is_collectors(something: object) -> bool:
    """Say whether a full collection would walk it."""
    return any(found is something for found in gc.get_objects())


def test_what_was_there_before_is_spared_for_as_long_as_it_lasts() -> None:
    """And is the collector's again afterwards; what is made meanwhile always is."""
    before = {"a": ["list"]}
    with settled_heap():
        assert not is_collectors(before)
        during = {"another": ["list"]}
        assert is_collectors(during)
    assert gc.get_freeze_count() == 0
    assert is_collectors(before)


def test_it_ends_with_the_run_however_that_ends() -> None:
    """A worker lives on."""
    with pytest.raises(KeyboardInterrupt), settled_heap():
        raise KeyboardInterrupt
    assert gc.get_freeze_count() == 0


def test_what_the_process_has_frozen_itself_stays_frozen() -> None:
    """As a server does that forks workers: thawed, its pages would be copied after all."""
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        with settled_heap():
            pass
        assert gc.get_freeze_count() >= frozen - 100
    finally:
        gc.unfreeze()


@pytest.mark.django_db
def test_a_run_settles_it_and_a_single_push_does_not(
    google: GoogleEmulator,
    right_cards: Callable[[int], list[LoyaltyCard]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker that pushes all day must not put off what there is to collect."""
    frozen: list[bool] = []
    feed = Intake.feed

    def look(intake: Intake, share: Share) -> None:
        frozen.append(gc.get_freeze_count() > 0)
        feed(intake, share)

    monkeypatch.setattr(Intake, "feed", look)
    (card,) = right_cards(1)

    card.record("earn", points=1)
    sync_wallet_passes()
    assert frozen
    assert all(frozen)

    frozen.clear()
    card.record("earn", points=1)
    sync_card_to_wallets(str(card.pk))
    assert frozen
    assert not any(frozen)
    assert gc.get_freeze_count() == 0
