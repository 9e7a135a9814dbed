"""Cards by what a person has at hand of them: a key, a number, an id of the provider's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_django import DjangoAssertNumQueries, Settings

from loyalty_wallet.exceptions import SelectionError
from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram, WalletPass
from loyalty_wallet.sync.explaining.lookup import find_card_keys
from tests.shop.models import Member

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db


def test_a_card_is_found_by_whatever_names_it(make_cards: MakeCards) -> None:
    """Key, card number and the provider's id name the same card, which is returned once."""
    first, second = make_cards(2)
    texts = [second.card_number, first.google_object_id, first.key, second.key, first.card_number]
    assert find_card_keys(texts) == [second.key, first.key]


def test_a_card_without_a_pass_is_found(program: LoyaltyProgram) -> None:
    """The source knows cards that are in no wallet yet, by key and by number."""
    card = LoyaltyCard.objects.create(program=program, card_number="4711")
    WalletPass.objects.all().delete()
    assert find_card_keys(["4711"]) == find_card_keys([card.key]) == [card.key]


def test_a_card_that_is_gone_is_found_by_its_pass(make_cards: MakeCards) -> None:
    """Its pass is still on the phone, and still to be looked at."""
    (card,) = make_cards(1)
    key, object_id = card.key, card.google_object_id
    LoyaltyCard.objects.all().delete()
    assert find_card_keys([key]) == find_card_keys([object_id]) == [key]


def test_what_is_unknown_is_named(make_cards: MakeCards) -> None:
    """All of it, up to ten, so that a list can be mended in one go."""
    (card,) = make_cards(1)
    with pytest.raises(SelectionError, match=r"serial number: 'x0', .*'x9' and 2 more\.$"):
        find_card_keys([card.key, *(f"x{number}" for number in range(12))])


def test_a_number_of_two_cards_is_refused(program: LoyaltyProgram) -> None:
    """Two programs may use the same number; the message has the keys to choose from."""
    other = LoyaltyProgram.objects.create(name="Tea", slug="tea", issuer_name="Tea Shop")
    keys = [
        LoyaltyCard.objects.create(program=owner, card_number="A-1").key
        for owner in (program, other)
    ]
    with pytest.raises(SelectionError, match="2 cards have the number 'A-1'") as refused:
        find_card_keys(["A-1"])
    assert all(repr(key) in str(refused.value) for key in keys)


def test_a_key_is_never_taken_for_a_number(program: LoyaltyProgram) -> None:
    """What a report lists names that card, even if another one has it for a number."""
    first = LoyaltyCard.objects.create(program=program, card_number="A-1")
    second = LoyaltyCard.objects.create(program=program, card_number=first.key)
    assert find_card_keys([first.key]) == [first.key]
    assert find_card_keys([f"number:{first.key}"]) == [second.key]


def test_a_foreign_table_is_searched_by_its_own_keys(
    program: LoyaltyProgram, settings: Settings
) -> None:
    """A source that says nothing of numbers still knows its keys."""
    settings.LOYALTY_WALLET = {
        **settings.LOYALTY_WALLET,
        "CARD_SOURCE": "tests.shop.sources.MemberSource",
    }
    Member.objects.create(membership_no="M-17", full_name="Ada Example")
    assert find_card_keys(["M-17"]) == ["M-17"]
    with pytest.raises(SelectionError, match="'Ada'"):
        find_card_keys(["Ada"])


def test_many_keys_cost_few_queries(
    make_cards: MakeCards, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    """A thousand keys from a file are looked up in chunks."""
    keys = [card.key for card in make_cards(1000)]
    with django_assert_num_queries(4):
        assert find_card_keys(keys) == keys
