"""What a card shows: a save that changes it makes its passes due, any other save does not."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import F

from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram, WalletPass

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("card_number", "C2"),
        ("holder_name", "Grace"),
        ("points_balance", 5),
        ("stamps", 1),
        ("tier", "Gold"),
        ("is_active", False),
    ],
)
def test_visible_change_makes_the_pass_due(
    wallet_pass: WalletPass, field: str, value: object
) -> None:
    """Each field that shows on the card is delivered when a save changes it."""
    card = LoyaltyCard.objects.get()
    setattr(card, field, value)
    assert card.changed_face() == {field}
    card.save()
    assert card.changed_face() == set()
    wallet_pass.refresh_from_db()
    assert wallet_pass.is_due
    assert wallet_pass.desired_revision == 2


def test_save_without_a_change_touches_nothing(wallet_pass: WalletPass) -> None:
    """Saving what was loaded costs no delivery."""
    card = LoyaltyCard.objects.get()
    card.save()
    card.holder_name = str(card.holder_name)
    card.save()
    wallet_pass.refresh_from_db()
    assert not wallet_pass.is_due


def test_change_and_back_is_seen_twice(wallet_pass: WalletPass) -> None:
    """Each save is compared with the one before it, not with what was loaded long ago."""
    card = LoyaltyCard.objects.get()
    for name in ("Grace", "Ada"):
        card.holder_name = name
        card.save()
    wallet_pass.refresh_from_db()
    assert wallet_pass.desired_revision == 3


def test_field_that_was_not_loaded_counts_when_it_is_set(wallet_pass: WalletPass) -> None:
    """A card loaded in part is delivered when the part that was left out is set."""
    card = LoyaltyCard.objects.only("card_number").get()
    assert card.changed_face() == set()
    card.tier = "Gold"
    assert card.changed_face() == {"tier"}
    card.save(update_fields=["tier"])
    wallet_pass.refresh_from_db()
    assert wallet_pass.is_due


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "Tea Club"),
        ("slug", "tea"),
        ("kind", "hybrid"),
        ("issuer_name", "New Owner"),
        ("logo_url", "https://shop.example/new.png"),
        ("hero_image_url", "https://shop.example/hero.png"),
        ("background_color", "#123456"),
        ("points_label", "Beans"),
        ("stamps_required", 12),
        ("reward", "A cup"),
        ("is_active", False),
    ],
)
def test_change_of_a_program_touches_its_cards(
    wallet_pass: WalletPass, field: str, value: object
) -> None:
    """What a program shows is on all of its cards, and on nobody else's."""
    other = LoyaltyProgram.objects.create(name="Other", slug="other", issuer_name="Other")
    LoyaltyCard.objects.create(program=other, card_number="C1")
    WalletPass.objects.update(due_at=None)
    program = LoyaltyProgram.objects.get(slug="coffee")
    setattr(program, field, value)
    program.save()
    due = WalletPass.objects.due().values_list("card_key", flat=True)
    assert list(due) == [wallet_pass.card_key]


def test_program_saved_as_it_is_touches_nobody(wallet_pass: WalletPass) -> None:
    """Saving a program without a change wakes none of its cards, however many there are."""
    LoyaltyProgram.objects.get().save()
    assert not WalletPass.objects.due().exists()


def test_card_that_changes_its_program_is_touched(wallet_pass: WalletPass) -> None:
    """A card moved to another program is due, since everything on it changes."""
    other = LoyaltyProgram.objects.create(name="Other", slug="other", issuer_name="Other")
    card = LoyaltyCard.objects.get()
    card.program = other
    card.save()
    assert WalletPass.objects.due().exists()


@pytest.mark.parametrize("color", ["#fff", "#FFF000", ""])
def test_colour_is_taken(program: LoyaltyProgram, color: str) -> None:
    """A background colour is #rgb, #rrggbb or none."""
    program.background_color = color
    program.full_clean()
    program.save()
    assert LoyaltyProgram.objects.get().background_color == color


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("background_color", "red"),
        ("background_color", "#ffff"),
        ("background_color", "fff"),
        ("background_color", "#ggg"),
        ("kind", "coupons"),
        ("issuer_name", ""),
        ("name", ""),
        ("points_label", ""),
        ("logo_url", "shop"),
        ("stamps_required", -1),
    ],
)
def test_senseless_program_is_refused_by_its_form(
    program: LoyaltyProgram, field: str, value: Any
) -> None:
    """What a wallet would refuse is refused where it is typed, by field."""
    setattr(program, field, value)
    with pytest.raises(ValidationError) as refusal:
        program.full_clean()
    assert field in refusal.value.message_dict


def test_card_number_is_unique_within_its_program(card: LoyaltyCard) -> None:
    """The same number may exist in two programs, but not twice in one."""
    other = LoyaltyProgram.objects.create(name="Other", slug="other", issuer_name="Other")
    LoyaltyCard.objects.create(program=other, card_number=card.card_number)
    with pytest.raises(IntegrityError), transaction.atomic():
        LoyaltyCard.objects.create(program=card.program, card_number=card.card_number)


def test_names_for_people(program: LoyaltyProgram, card: LoyaltyCard) -> None:
    """Lists show the program's name, and the card's number with its holder."""
    assert (str(program), str(card)) == ("Coffee Club", "C1 Ada")
    assert str(WalletPass.objects.get()) == "C1 Ada (google)"


def delivered(card: LoyaltyCard) -> None:
    """Have the phone show what the database has."""
    WalletPass.objects.filter(card_key=card.key).update(due_at=None)


def is_due(card: LoyaltyCard) -> bool:
    return WalletPass.objects.get(card_key=card.key).due_at is not None


def test_a_refreshed_row_compares_with_what_it_was_refreshed_to(wallet_pass: WalletPass) -> None:
    """Somebody else's change that is undone afterwards is a change; a mere refresh is none."""
    card = LoyaltyCard.objects.get()
    LoyaltyCard.objects.update(tier="Gold")
    card.refresh_from_db()
    delivered(card)
    card.save()
    assert not is_due(card)
    card.tier = ""
    card.save()
    assert is_due(card)


def test_a_field_that_was_not_written_is_still_to_be_written(wallet_pass: WalletPass) -> None:
    """`update_fields` leaves the other changes for the next save, and that one touches."""
    card = LoyaltyCard.objects.get()
    card.points_balance = 7
    card.save(update_fields=["tier"])
    delivered(card)
    card.save()
    assert is_due(card)


def test_recording_a_transaction_forgets_no_other_change(wallet_pass: WalletPass) -> None:
    """A name that was set before `record` is delivered by the save after it."""
    card = LoyaltyCard.objects.get()
    card.holder_name = "Grace"
    card.record("earn", 5)
    delivered(card)
    card.save()
    assert is_due(card)


def test_what_the_database_computes_may_be_anything(wallet_pass: WalletPass) -> None:
    """Two saves of the same expression move the balance twice, and both are seen."""
    card = LoyaltyCard.objects.get()
    card.points_balance = F("points_balance") + 5
    card.save()
    delivered(card)
    card.points_balance = F("points_balance") + 5
    card.save()
    assert is_due(card)


def test_a_save_that_was_rolled_back_is_not_remembered(wallet_pass: WalletPass) -> None:
    """Saving the same value again is a change: the database never got it."""
    card = LoyaltyCard.objects.get()
    card.tier = "Gold"
    with transaction.atomic():
        card.save()
        transaction.set_rollback(True)
    assert not is_due(card)
    card.save()
    assert is_due(card)
