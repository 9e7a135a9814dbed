"""All that the shop writes to put its members' cards on their phones."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from loyalty_wallet.cards import Barcode, Card, Program
from loyalty_wallet.sources import CardSource

from .models import Member

CLUB = Program(
    key="coffee-club",
    name="Coffee Club",
    issuer_name="Corner Shop",
    logo_url="https://shop.example/logo.png",
    wallets=("google",),
)
LEVELS = {"B": "Bronze", "S": "Silver"}


class MemberSource(CardSource):
    """Members are cards, known by their membership number rather than by their primary key."""

    model = Member

    def to_card(self, row: Member) -> Card:
        return Card(
            key=row.membership_no,
            program=CLUB,
            card_number=row.membership_no,
            holder_name=row.full_name,
            points_balance=row.coffee_points,
            tier=LEVELS[row.level],
            barcode=Barcode(value=row.membership_no),
        )

    def key_for(self, row: Member) -> str:
        return row.membership_no

    def rows_for(self, card_keys: Iterable[str]) -> Iterable[Member]:
        return Member.objects.filter(membership_no__in=list(card_keys))

    def changed_since(self, moment: datetime) -> Iterable[str]:
        changed = Member.objects.filter(last_visit__gte=moment)
        return changed.values_list("membership_no", flat=True).iterator()

    def admin_url(self, card_key: str) -> str:
        member = Member.objects.filter(membership_no=card_key).first()
        return super().admin_url(str(member.pk)) if member else ""
