"""Rows that are shown on a card, and what of them the database has."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Self

from django.db import models, transaction


class ShownModel(models.Model):
    """A row that remembers what the database has of it, to tell whether a save changes the card."""

    shown_fields: tuple[str, ...] = ()

    class Meta:
        abstract = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._face_in_database: dict[str, Any] = {}

    @classmethod
    def from_db(
        cls, db: str | None, field_names: Collection[str], values: Collection[Any], **kwargs: Any
    ) -> Self:
        row = super().from_db(db, field_names, values, **kwargs)
        row._face_in_database = dict(zip(field_names, values, strict=False))  # noqa: SLF001
        return row

    def refresh_from_db(
        self,
        using: str | None = None,
        fields: Iterable[str] | None = None,
        from_queryset: models.QuerySet[Self] | None = None,
    ) -> None:
        names = None if fields is None else list(fields)
        super().refresh_from_db(using, names, from_queryset)
        self.remember_face(names)

    def changed_face(self, written: Collection[str] | None = None) -> set[str]:
        """Return the names of the shown fields that a save of `written` changes in the database."""
        return {
            name
            for name, value in self._face(written).items()
            if name not in self._face_in_database
            # What the database computes may be anything.
            or hasattr(value, "resolve_expression")
            or self._face_in_database[name] != value
        }

    def remember_face(self, written: Collection[str] | None = None) -> None:
        """Take what the row shows now, or its fields of these names, for what the database has."""
        self._face_in_database.update(self._face(written))

    def remember_face_after_commit(self, written: Collection[str] | None, using: str) -> None:
        """Do so for what is saved now, unless the transaction is rolled back."""
        face = self._face(written)
        transaction.on_commit(lambda: self._face_in_database.update(face), using=using)

    def _face(self, written: Collection[str] | None = None) -> dict[str, Any]:
        loaded = self.__dict__
        return {
            name: loaded[name]
            for name in self.shown_fields
            if name in loaded
            and (written is None or name in written or name.removesuffix("_id") in written)
        }
