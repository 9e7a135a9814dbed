"""Where cards come from: the one class that knows the card table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cache
from typing import Any, ClassVar

from django.contrib.admin.utils import quote
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db.models import Field, Model, QuerySet
from django.urls import NoReverseMatch, reverse
from django.utils.module_loading import import_string

from .cards import Barcode, Card, Program, ProgramKind
from .conf import get_conf
from .models import LoyaltyCard, LoyaltyProgram, LoyaltyTransaction


class CardSource(ABC):
    """Maps rows of any model to cards.

    Two members are required: `model` and `to_card`. A card's key is the text of `key_field`; it
    must be unique, stable for life and at most 191 characters.
    """

    model: ClassVar[type[Model]]
    key_field: ClassVar[str] = "pk"
    number_field: ClassVar[str] = ""
    """The field with the card's number, for people who look a card up by it."""

    @abstractmethod
    def to_card(self, row: Any) -> Card:
        """Return the card that `row` stands for. Whatever it raises fails this card alone."""

    def get_queryset(self) -> QuerySet[Any]:
        """Return the rows that are cards, with all relations that `to_card` follows selected."""
        return self.model._default_manager.all()

    def key_for(self, row: Any) -> str:
        """Return the key of the card that `row` stands for."""
        return str(getattr(row, self.key_field))

    def rows_for(self, card_keys: Iterable[str]) -> Iterable[Any]:
        """Return the rows of these cards, in any order; keys that are gone are left out."""
        keys = self._values(self.key_field, card_keys)
        return self.get_queryset().filter(**{f"{self.key_field}__in": keys})

    def keys_by_number(self, card_numbers: Iterable[str]) -> Iterable[tuple[str, str]]:
        """Yield number and key of each card that has one of these numbers; none if not known."""
        if self.number_field:
            numbers = self._values(self.number_field, card_numbers)
            for row in self.get_queryset().filter(**{f"{self.number_field}__in": numbers}):
                yield str(getattr(row, self.number_field)), self.key_for(row)

    def changed_since(self, moment: datetime) -> Iterable[str]:
        """Return the keys of the cards that changed at or after `moment`; none if not known."""
        return ()

    def admin_url(self, card_key: str) -> str:
        """Return the admin page of the card; empty if there is none."""
        meta = self.model._meta
        row_id = card_key
        if self.key_field != "pk":
            row = self.model._default_manager.filter(**{self.key_field: card_key}).first()
            if row is None:
                return ""
            row_id = str(row.pk)
        try:
            return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[quote(row_id)])
        except NoReverseMatch:
            return ""

    def _values(self, field_name: str, texts: Iterable[str]) -> list[Any]:
        """Return what the field makes of these texts, those left out that it could not hold."""
        meta = self.model._meta
        name = meta.pk.name if field_name == "pk" else field_name
        field: Field[Any, Any] = meta.get_field(name)  # type: ignore[assignment]
        values = []
        for text in texts:
            try:
                value = field.to_python(text)
                field.run_validators(value)
            except ValidationError:
                continue
            values.append(value)
        return values


class LoyaltyCardSource(CardSource):
    """Serves this app's own `LoyaltyCard` table."""

    model = LoyaltyCard
    number_field = "card_number"

    def get_queryset(self) -> QuerySet[LoyaltyCard]:
        # Prefetched rather than joined: the cards of a batch share one instance of their program.
        return LoyaltyCard.objects.prefetch_related("program")

    def to_card(self, row: LoyaltyCard) -> Card:
        return Card(
            key=row.key,
            program=_program(row.program),
            card_number=row.card_number,
            holder_name=row.holder_name,
            points_balance=row.points_balance,
            stamps=row.stamps,
            tier=row.tier,
            barcode=Barcode(value=row.card_number, text=row.card_number),
            expires_at=row.expires_at,
            is_active=row.is_active and row.program.is_active,
        )

    def changed_since(self, moment: datetime) -> Iterator[str]:
        edited = LoyaltyCard.objects.filter(updated_at__gte=moment).values_list("pk")
        moved = LoyaltyTransaction.objects.filter(created_at__gte=moment).values_list("card")
        return (str(pk) for (pk,) in edited.union(moved).iterator())


def _program(row: LoyaltyProgram) -> Program:
    return Program(
        key=row.slug,
        name=row.name,
        issuer_name=row.issuer_name,
        kind=ProgramKind(row.kind),
        logo_url=row.logo_url,
        hero_image_url=row.hero_image_url,
        background_color=row.background_color,
        points_label=row.points_label,
        stamps_required=row.stamps_required,
        reward=row.reward,
        wallets=tuple(filter(None, (row.google_wallet, row.apple_wallet))),
        auto_issue=row.auto_issue,
        notifies=row.notifies,
        is_active=row.is_active,
    )


def get_card_source() -> CardSource:
    """Return the configured card source.

    Raises ImproperlyConfigured when CARD_SOURCE cannot be imported or is not a `CardSource`.
    """
    return _card_source(get_conf().card_source)


@cache
def _card_source(path: str) -> CardSource:
    try:
        source = import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(f"LOYALTY_WALLET['CARD_SOURCE']: {error}") from error
    if not (isinstance(source, type) and issubclass(source, CardSource)):
        raise ImproperlyConfigured(
            f"LOYALTY_WALLET['CARD_SOURCE']: {path} is not a subclass of CardSource."
        )
    try:
        instance = source()
    except TypeError as error:
        raise ImproperlyConfigured(f"LOYALTY_WALLET['CARD_SOURCE']: {error}") from error
    if not hasattr(instance, "model"):
        raise ImproperlyConfigured(f"LOYALTY_WALLET['CARD_SOURCE']: {path} names no `model`.")
    return instance
