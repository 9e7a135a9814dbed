"""`card.record`: a transaction, a balance and passes that are due, all or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction
from django.db.models import Sum

from loyalty_wallet.models import LoyaltyCard, LoyaltyTransaction, WalletPass
from loyalty_wallet.signals import cards_changed

pytestmark = pytest.mark.django_db


@pytest.fixture
def failing_receiver(wallet_pass: WalletPass) -> Iterator[None]:
    def fail(**_: Any) -> None:
        raise RuntimeError("No room for passes.")

    cards_changed.connect(fail)
    yield
    cards_changed.disconnect(fail)


@pytest.mark.parametrize(
    ("kind", "given", "moved"),
    [
        ("earn", (5, 0), (5, 0)),
        ("earn", (5, 1), (5, 1)),
        ("stamp", (0, 1), (0, 1)),
        ("redeem", (5, 0), (-5, 0)),
        ("redeem", (-5, 0), (-5, 0)),
        ("redeem", (0, 10), (0, -10)),
        ("redeem", (3, -2), (-3, -2)),
        ("adjust", (4, 0), (4, 0)),
        ("adjust", (-4, 2), (-4, 2)),
        ("void", (-5, 0), (-5, 0)),
        ("void", (5, -1), (5, -1)),
    ],
)
def test_balance_moves(
    card: LoyaltyCard, kind: str, given: tuple[int, int], moved: tuple[int, int]
) -> None:
    """Each kind moves the balance its way; what is redeemed is taken whatever its sign."""
    LoyaltyCard.objects.update(points_balance=100, stamps=10)
    points, stamps = given
    entry = card.record(kind, points=points, stamps=stamps, reference="till 3")
    assert (entry.kind, entry.points, entry.stamps, entry.reference) == (kind, *moved, "till 3")
    assert (card.points_balance, card.stamps) == (100 + moved[0], 10 + moved[1])
    stored = LoyaltyCard.objects.get()
    assert (stored.points_balance, stored.stamps) == (card.points_balance, card.stamps)


@pytest.mark.parametrize(
    ("kind", "points", "stamps"),
    [
        ("gift", 5, 0),
        ("", 5, 0),
        ("EARN", 5, 0),
        ("earn", 0, 0),
        ("redeem", 0, 0),
        ("adjust", 0, 0),
        ("earn", -5, 0),
        ("earn", 5, -1),
        ("stamp", 0, -1),
        ("stamp", -5, 1),
    ],
)
def test_senseless_movement_is_refused(
    card: LoyaltyCard, wallet_pass: WalletPass, kind: str, points: int, stamps: int
) -> None:
    """An unknown kind, nothing to move or an earning that takes away changes nothing at all."""
    with pytest.raises(ValueError, match=r"is not a valid|both are 0|cannot take away"):
        card.record(kind, points=points, stamps=stamps)
    assert not LoyaltyTransaction.objects.exists()
    assert LoyaltyCard.objects.get().points_balance == 0
    assert not WalletPass.objects.get().is_due


def test_passes_become_due(card: LoyaltyCard, wallet_pass: WalletPass) -> None:
    """The same call that moves the balance says that the phone is wrong."""
    card.record("earn", points=1)
    due = WalletPass.objects.get()
    assert due.is_due
    assert due.desired_revision == wallet_pass.desired_revision + 1


def test_row_says_when_it_moved(card: LoyaltyCard) -> None:
    """A recorded movement is a change that the window over `updated_at` sees."""
    before = card.updated_at
    card.record("earn", points=1)
    assert LoyaltyCard.objects.get().updated_at > before


@pytest.mark.usefixtures("failing_receiver")
def test_failing_receiver_undoes_everything() -> None:
    """If the passes cannot be marked, neither the transaction nor the balance has happened."""
    with pytest.raises(RuntimeError, match="No room"):
        LoyaltyCard.objects.get().record("earn", points=5)
    assert not LoyaltyTransaction.objects.exists()
    assert LoyaltyCard.objects.get().points_balance == 0
    assert not WalletPass.objects.get().is_due


def test_callers_rollback_undoes_everything(card: LoyaltyCard, wallet_pass: WalletPass) -> None:
    """A sale that fails after its points were recorded leaves no points and nothing due."""

    def sell() -> None:
        with transaction.atomic():
            card.record("earn", points=5)
            raise RuntimeError("The card terminal is gone.")

    with pytest.raises(RuntimeError):
        sell()
    assert not LoyaltyTransaction.objects.exists()
    assert LoyaltyCard.objects.get().points_balance == 0
    assert not WalletPass.objects.get().is_due


def test_stale_instance_loses_nothing(card: LoyaltyCard) -> None:
    """Two copies of one card in memory add up: the database moves the balance."""
    stale = LoyaltyCard.objects.get()
    card.record("earn", points=5)
    stale.record("earn", points=7)
    assert stale.points_balance == 12
    assert LoyaltyCard.objects.get().points_balance == 12


def test_balance_is_the_sum_of_its_transactions(card: LoyaltyCard) -> None:
    """Whatever was recorded, the history adds up to the balance."""
    for kind, points in (("earn", 50), ("redeem", 20), ("void", -5), ("adjust", 3)):
        card.record(kind, points=points)
    total = LoyaltyTransaction.objects.aggregate(points=Sum("points"))["points"]
    assert total == card.points_balance == 28


def test_balance_may_leave_32_bits(card: LoyaltyCard) -> None:
    """Balances are 64 bits wide here, even where a wallet cannot show them."""
    card.record("earn", points=2**40)
    assert LoyaltyCard.objects.get().points_balance == 2**40


def test_transaction_is_never_changed(card: LoyaltyCard) -> None:
    """History is append-only: saving an entry again is refused."""
    entry = card.record("earn", points=5)
    entry.points = 500
    with pytest.raises(TypeError, match="never changed"):
        entry.save()
    with pytest.raises(TypeError, match="never changed"):
        LoyaltyTransaction.objects.get().save()
    assert LoyaltyTransaction.objects.get().points == 5
