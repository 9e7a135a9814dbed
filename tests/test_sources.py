"""Card sources: what the base class offers, and what the default source says of our own tables."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from loyalty_wallet.cards import Barcode, Card, Program, ProgramKind
from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram, LoyaltyTransaction
from loyalty_wallet.sources import CardSource, LoyaltyCardSource, get_card_source

PROGRAM = Program(key="p", name="P", issuer_name="I")


class SessionSource(CardSource):
    """The two required members, over a table that has no admin."""

    model = Session

    def to_card(self, row: Any) -> Card:
        return Card(key=self.key_for(row), program=PROGRAM, card_number=row.session_key)


class UserSource(CardSource):
    """Over a table that the admin serves."""

    model = User

    def to_card(self, row: Any) -> Card:
        return Card(key=self.key_for(row), program=PROGRAM, card_number=row.username)


class ForgetfulSource(CardSource):
    """Has forgotten `to_card`."""

    model = Session


class DemandingSource(SessionSource):
    """Wants an argument that nobody has."""

    def __init__(self, shop: str) -> None:
        self.shop = shop


@pytest.fixture
def program(db: None) -> LoyaltyProgram:
    return LoyaltyProgram.objects.create(
        name="Coffee Club",
        slug="coffee",
        kind="hybrid",
        issuer_name="Corner Shop",
        logo_url="https://shop.example/logo.png",
        hero_image_url="https://shop.example/hero.png",
        background_color="#abc",
        points_label="Beans",
        stamps_required=8,
        reward="A cup",
        auto_issue=False,
    )


@pytest.fixture
def card(program: LoyaltyProgram) -> LoyaltyCard:
    return LoyaltyCard.objects.create(
        program=program,
        card_number="C1",
        holder_name="Ada",
        points_balance=7,
        stamps=3,
        tier="Gold",
    )


def test_two_members_make_a_source(db: None) -> None:
    """`model` and `to_card` are enough: keys are primary keys, nothing changes, no admin page."""
    Session.objects.create(session_key="k1", session_data="", expire_date=timezone.now())
    source = SessionSource()
    [row] = source.rows_for(["k1", "gone"])
    assert source.key_for(row) == source.to_card(row).key == "k1"
    assert list(source.get_queryset()) == [row]
    assert list(source.changed_since(timezone.now())) == []
    assert source.admin_url("k1") == ""


def test_card_shows_all_of_the_row(card: LoyaltyCard) -> None:
    """Every column that shows on a card reaches the value that wallets render."""
    source = LoyaltyCardSource()
    [row] = source.rows_for([card.key])
    assert source.to_card(row) == Card(
        key=card.key,
        program=Program(
            key="coffee",
            name="Coffee Club",
            issuer_name="Corner Shop",
            kind=ProgramKind.HYBRID,
            logo_url="https://shop.example/logo.png",
            hero_image_url="https://shop.example/hero.png",
            background_color="#abc",
            points_label="Beans",
            stamps_required=8,
            reward="A cup",
            wallets=("google", "apple"),
            auto_issue=False,
        ),
        card_number="C1",
        holder_name="Ada",
        points_balance=7,
        stamps=3,
        tier="Gold",
        barcode=Barcode(value="C1", text="C1"),
    )


@pytest.mark.parametrize(
    ("google", "apple", "expected"),
    [
        ("google", "apple", ("google", "apple")),
        ("", "apple", ("apple",)),
        ("shop", "", ("shop",)),
        ("", "", ()),
    ],
)
def test_blank_alias_means_off(
    card: LoyaltyCard, google: str, apple: str, expected: tuple[str, ...]
) -> None:
    """A program names the wallets of its cards; a blank one is none."""
    LoyaltyProgram.objects.update(google_wallet=google, apple_wallet=apple)
    [row] = LoyaltyCardSource().rows_for([card.key])
    assert LoyaltyCardSource().to_card(row).program.wallets == expected


@pytest.mark.parametrize(
    ("card_is_active", "program_is_active", "expected"),
    [(True, True, True), (False, True, False), (True, False, False)],
)
def test_card_is_active_with_its_program(
    card: LoyaltyCard, card_is_active: bool, program_is_active: bool, expected: bool
) -> None:
    """A card is only active while its program is."""
    LoyaltyCard.objects.update(is_active=card_is_active)
    LoyaltyProgram.objects.update(is_active=program_is_active)
    [row] = LoyaltyCardSource().rows_for([card.key])
    assert LoyaltyCardSource().to_card(row).is_active is expected


@pytest.mark.parametrize("key", ["", "x", "1.5", "C1", "-", "0x1"])
def test_key_that_can_be_none_of_ours_is_left_out(card: LoyaltyCard, key: str) -> None:
    """Keys that are no primary keys at all are gone cards, not errors."""
    assert [row.pk for row in LoyaltyCardSource().rows_for([key, card.key])] == [card.pk]


def test_batch_costs_two_queries(
    program: LoyaltyProgram, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    """Cards and their programs are read in one query each, however many there are."""
    cards = LoyaltyCard.objects.bulk_create(
        LoyaltyCard(program=program, card_number=f"C{number}") for number in range(20)
    )
    source = LoyaltyCardSource()
    with django_assert_num_queries(2):
        found = [source.to_card(row) for row in source.rows_for(card.key for card in cards)]
    assert len(found) == 20


def test_changes_are_edits_and_transactions(program: LoyaltyProgram) -> None:
    """A card has changed when its row was saved or a transaction came, each named once."""
    moment = timezone.now() - timedelta(hours=1)
    quiet, edited, moved, both = LoyaltyCard.objects.bulk_create(
        LoyaltyCard(program=program, card_number=number) for number in "ABCD"
    )
    LoyaltyCard.objects.filter(pk__in=[quiet.pk, moved.pk]).update(
        updated_at=moment - timedelta(seconds=1)
    )
    for card in (moved, both, both):
        LoyaltyTransaction.objects.create(card=card, kind="earn", points=1)
    LoyaltyTransaction.objects.create(
        card=quiet, kind="earn", points=1, created_at=moment - timedelta(seconds=1)
    )
    changed = sorted(LoyaltyCardSource().changed_since(moment))
    assert changed == sorted([edited.key, moved.key, both.key])


def test_moment_itself_counts(card: LoyaltyCard) -> None:
    """A change at the very moment that is asked about is not lost between two windows."""
    assert list(LoyaltyCardSource().changed_since(card.updated_at)) == [card.key]


def test_source_is_the_configured_one(settings: Settings) -> None:
    """CARD_SOURCE chooses the source, and a change of the setting changes it."""
    settings.LOYALTY_WALLET = {}
    assert type(get_card_source()) is LoyaltyCardSource
    settings.LOYALTY_WALLET = {"CARD_SOURCE": f"{__name__}.SessionSource"}
    assert type(get_card_source()).__name__ == "SessionSource"
    assert get_card_source() is get_card_source()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nowhere.Source", "nowhere"),
        (f"{__name__}.NoSource", "NoSource"),
        ("loyalty_wallet.cards.Card", "is not a subclass of CardSource"),
        (f"{__name__}.PROGRAM", "is not a subclass of CardSource"),
        (f"{__name__}.ForgetfulSource", "to_card"),
        (f"{__name__}.DemandingSource", "shop"),
    ],
)
def test_unusable_source_is_refused(settings: Settings, path: str, words: str) -> None:
    """A CARD_SOURCE that cannot serve says why."""
    settings.LOYALTY_WALLET = {"CARD_SOURCE": path}
    with pytest.raises(
        ImproperlyConfigured, match=r"^LOYALTY_WALLET\['CARD_SOURCE'\]: "
    ) as refusal:
        get_card_source()
    assert words in str(refusal.value)


def test_admin_link_opens_the_row(admin_user: User, admin_client: Client) -> None:
    """Where the model is in the admin, the link opens the page of the row."""
    url = UserSource().admin_url(str(admin_user.pk))
    assert admin_user.username in admin_client.get(url).content.decode()
