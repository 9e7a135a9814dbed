"""How a pass comes to be: at once, when asked for, or not at all."""

from __future__ import annotations

import re

import pytest
from django.db import IntegrityError, transaction

from loyalty_wallet.exceptions import SelectionError
from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram, WalletPass
from loyalty_wallet.sync import issue, touch

from .conftest import Configure

pytestmark = pytest.mark.django_db


def wallets_of(card: LoyaltyCard) -> list[str]:
    passes = WalletPass.objects.filter(card_key=card.key)
    return sorted(passes.values_list("wallet", flat=True))


def test_saved_card_has_its_passes_at_once(configure: Configure, program: LoyaltyProgram) -> None:
    """A new card gets a pass in each configured wallet that its program names, due at once."""
    configure("google", "apple", "other")
    card = LoyaltyCard.objects.create(program=program, card_number="C1", holder_name="Ada")
    assert wallets_of(card) == ["apple", "google"]
    for wallet_pass in WalletPass.objects.all():
        assert wallet_pass.is_due
        assert wallet_pass.program_key == "coffee"
        assert wallet_pass.card_label == "C1 Ada"
        assert wallet_pass.state == WalletPass.State.ACTIVE
        assert wallet_pass.presence == WalletPass.Presence.UNKNOWN
        assert wallet_pass.synced_at is None


@pytest.mark.parametrize(
    ("google", "apple", "expected"),
    [
        ("google", "apple", ["google"]),
        ("", "apple", []),
        ("googel", "", []),
        ("", "google", ["google"]),
    ],
)
def test_alias_that_is_blank_or_not_configured_is_off(
    program: LoyaltyProgram, google: str, apple: str, expected: list[str]
) -> None:
    """Only wallets that are named and configured get a pass; the others are no failure."""
    program.google_wallet, program.apple_wallet = google, apple
    program.save()
    card = LoyaltyCard.objects.create(program=program, card_number="C1")
    assert wallets_of(card) == expected


@pytest.mark.parametrize("field", ["auto_issue", "is_active"])
def test_program_that_does_not_issue_waits_to_be_asked(program: LoyaltyProgram, field: str) -> None:
    """Without `auto_issue`, or while the program is off, saving and touching make no pass."""
    setattr(program, field, False)
    program.save()
    card = LoyaltyCard.objects.create(program=program, card_number="C1")
    assert touch([card.key]) == 0
    assert wallets_of(card) == []
    assert issue([card.key]) == 1
    assert wallets_of(card) == ["google"]


def test_inactive_card_gets_no_pass_by_itself(program: LoyaltyProgram) -> None:
    """A card that is off is put on no phone until somebody asks."""
    card = LoyaltyCard.objects.create(program=program, card_number="C1", is_active=False)
    assert wallets_of(card) == []


def test_touch_issues_what_was_missed(program: LoyaltyProgram) -> None:
    """A card that came by bulk import gets its pass with its first touch."""
    LoyaltyCard.objects.bulk_create([LoyaltyCard(program=program, card_number="C1")])
    card = LoyaltyCard.objects.get()
    assert wallets_of(card) == []
    assert touch([card.key]) == 1
    assert wallets_of(card) == ["google"]


def test_issuing_twice_makes_one_pass(configure: Configure, card: LoyaltyCard) -> None:
    """Asking again changes nothing: neither the id nor the revision."""
    before = WalletPass.objects.values().get()
    assert issue([card.key, card.key]) == 0
    assert WalletPass.objects.values().get() == before
    configure("google", "apple")
    assert issue([card.key]) == 1
    assert wallets_of(card) == ["apple", "google"]


def test_one_wallet_can_be_asked_for(configure: Configure, program: LoyaltyProgram) -> None:
    """A customer who taps one wallet's button gets that wallet's pass alone."""
    configure("google", "apple")
    program.auto_issue = False
    program.save()
    card = LoyaltyCard.objects.create(program=program, card_number="C1")
    assert issue([card.key], wallets=["apple"]) == 1
    assert wallets_of(card) == ["apple"]


def test_unknown_wallet_is_refused(card: LoyaltyCard) -> None:
    """An alias that is not configured is an error that names the ones that are."""
    with pytest.raises(SelectionError, match=r"'gogle' is configured\. Configured: google\."):
        issue([card.key], wallets=["gogle"])


def test_single_string_is_refused(card: LoyaltyCard) -> None:
    """A key given instead of a list of keys would be read letter by letter."""
    for function in (issue, touch):
        with pytest.raises(TypeError, match="not a single string"):
            function("4711")


def test_keys_may_come_from_anywhere(program: LoyaltyProgram) -> None:
    """Any iterable of keys will do, with repetitions; unknown keys are nothing."""
    LoyaltyCard.objects.bulk_create(
        LoyaltyCard(program=program, card_number=f"C{number}") for number in range(1100)
    )
    keys = [card.key for card in LoyaltyCard.objects.all()]
    assert issue(iter([*keys, *keys[:5]])) == 1100
    assert issue(["0", "nobody"]) == 0
    assert WalletPass.objects.count() == 1100


def test_remote_ids_are_opaque(program: LoyaltyProgram) -> None:
    """An id says nothing about its card, and consists of what Google takes."""
    for number in range(20):
        LoyaltyCard.objects.create(program=program, card_number=f"C{number}")
    ids = set(WalletPass.objects.values_list("remote_id", flat=True))
    assert len(ids) == 20
    for remote_id in ids:
        issuer_id, suffix = remote_id.split(".")
        assert issuer_id == "3388000000000000001"
        assert re.fullmatch(r"[0-9a-f]{32}", suffix)


def test_card_knows_its_ids(configure: Configure, program: LoyaltyProgram) -> None:
    """A card without a pass has empty ids; with passes it has the ids of its program's wallets."""
    configure("google", "apple")
    program.auto_issue = False
    program.save()
    card = LoyaltyCard.objects.create(program=program, card_number="C1")
    assert (card.google_object_id, card.apple_serial_number) == ("", "")
    issue([card.key])
    passes = dict(WalletPass.objects.values_list("wallet", "remote_id"))
    assert card.google_object_id == passes["google"]
    assert card.apple_serial_number == passes["apple"]


@pytest.mark.parametrize(
    "twin",
    [
        {"card_key": "1", "wallet": "google", "remote_id": "3388.other"},
        {"card_key": "2", "wallet": "google", "remote_id": "3388.same"},
    ],
)
def test_two_passes_are_never_confused(twin: dict[str, str]) -> None:
    """The table takes one pass per card and wallet, and one card per id."""
    WalletPass.objects.create(card_key="1", wallet="google", remote_id="3388.same")
    WalletPass.objects.create(card_key="1", wallet="apple", remote_id="3388.same")
    with pytest.raises(IntegrityError), transaction.atomic():
        WalletPass.objects.create(**twin)


def test_longest_key_fits() -> None:
    """A card's key has up to 191 characters, outside ASCII too."""
    key = "ü" * 191
    WalletPass.objects.create(card_key=key, wallet="g" * 64, remote_id="1" * 255)
    assert WalletPass.objects.for_cards([key]).count() == 1


def test_a_wallet_that_the_program_does_not_name_gets_no_pass(
    configure: Configure, program: LoyaltyProgram
) -> None:
    """A pass that no run would deliver is not made in the first place."""
    configure("google", "other")
    program.auto_issue = False
    program.save()
    card = LoyaltyCard.objects.create(program=program, card_number="C1")
    assert issue([card.key], wallets=["other"]) == 0
    assert wallets_of(card) == []


@pytest.mark.parametrize("key", ["9" * 400, "-1", "x", "", "1.5"])
def test_a_key_that_no_row_can_have_is_no_error(configure: Configure, key: str) -> None:
    """Nothing is found for it, and nothing breaks."""
    configure("google")
    assert touch([key]) == 0
    assert issue([key]) == 0
