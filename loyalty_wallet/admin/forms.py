"""The form of a new transaction: says beforehand, in the form, what the model would refuse."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..models import LoyaltyCard, LoyaltyTransaction

Kind = LoyaltyTransaction.Kind


class TransactionForm(forms.ModelForm):  # type: ignore[type-arg]
    """What moves a card's balance."""

    class Meta:
        model = LoyaltyTransaction
        fields = ("card", "kind", "points", "stamps", "reference")
        help_texts = {
            "kind": gettext_lazy(
                "Earn and stamp add, redeem takes away; adjust and void do what the sign says."
            ),
            "reference": gettext_lazy("A receipt, a ticket, or why the balance is corrected."),
        }

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        moves: dict[str, int] = {name: cleaned[name] for name in ("points", "stamps")}
        if not any(moves.values()):
            raise forms.ValidationError(_("A transaction moves points or stamps; both are 0."))
        kind = Kind(cleaned["kind"])
        for name, value in moves.items():
            if kind in (Kind.EARN, Kind.STAMP) and value < 0:
                self.add_error(name, _("This kind cannot take away; use adjust."))
            move = -abs(value) if kind is Kind.REDEEM else value
            if not _fits(cleaned["card"], name, move):
                self.add_error(name, _("The balance would be larger than can be stored."))
        return cleaned


_BALANCES = {"points": "points_balance", "stamps": "stamps"}


def _fits(card: LoyaltyCard, name: str, move: int) -> bool:
    """Say whether the new balance fits its column; not every database refuses what does not."""
    field = card._meta.get_field(_BALANCES[name])
    bits = 64 if isinstance(field, models.BigIntegerField) else 32
    balance = getattr(card, field.name) + move
    return bool(-(2 ** (bits - 1)) <= balance < 2 ** (bits - 1))
