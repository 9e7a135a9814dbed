"""The demo's coffee shop: its program, its cards, its customers, and nothing of anybody else's."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path

from django.core.management.base import CommandError
from django.db import connection, transaction
from django.db.models import F, Q
from django.utils import timezone

from loyalty_wallet.emulator.google.emulator import DEFAULT_ISSUER_ID
from loyalty_wallet.models import (
    AppleDevice,
    LoyaltyCard,
    LoyaltyProgram,
    LoyaltyTransaction,
    SyncRun,
    SyncState,
    WalletPass,
    WalletProgram,
)
from loyalty_wallet.sync import issue

SLUG = "demo-corner-coffee"
GOOGLE, APPLE = "google", "apple"
ISSUER_ID = DEFAULT_ISSUER_ID
STAMPS_REQUIRED = 10
CLAIM = "demo"
CLAIM_SECONDS = 60

FIRST_NAMES = (
    "Ada Amir Anna Ben Chloe Dario Elif Emma Farid Grace Hana Ivo Jonas Kofi Lea Liam Mara Mei "
    "Nils Noor Olga Pablo Priya Rosa Sami Sofia Tariq Uma Victor Yuki"
)
LAST_NAMES = (
    "Adler Berg Costa Diallo Eriksen Fischer Garcia Haddad Ito Jansen Keller Lopez Martin Novak "
    "Okafor Petrov Quinn Rossi Silva Tanaka Ueda Varga Weber Xu Yilmaz Zeller"
)


def refuse_foreign_data(*, any_database: bool) -> None:
    """Raise CommandError unless this database is the demo's to fill."""
    if connection.vendor != "sqlite" and not any_database:
        raise CommandError(
            f"The demo fills the database that it finds, and this one is {connection.display_name}."
            " Unset DATABASE_URL to use a file,"
            " or add --any-database if this database may be filled."
        )
    tables = connection.introspection.table_names()
    if LoyaltyProgram._meta.db_table not in tables or WalletPass._meta.db_table not in tables:
        return
    ours = Q(program_key=SLUG) & (
        Q(wallet=GOOGLE, remote_id__startswith=f"{ISSUER_ID}.") | Q(wallet=APPLE)
    )
    programs = LoyaltyProgram.objects.exclude(slug=SLUG).count()
    passes = WalletPass.objects.exclude(ours).count()
    if programs or passes:
        raise CommandError(
            f"This database has {programs} programs and {passes} wallet passes that are not the"
            " demo's; nothing was changed. Give the demo a database of its own:"
            " DATABASE_URL=sqlite:///demo.sqlite3 manage.py demo"
        )


def claim_database() -> None:
    """Keep a second demo away. Raises CommandError when one is at work here."""
    with transaction.atomic():
        SyncState.objects.get_or_create(scope=CLAIM)
        state = SyncState.objects.select_for_update().get(scope=CLAIM)
        if state.expires_at is not None and state.expires_at > timezone.now():
            raise CommandError(
                f"A demo is at work in this database ({state.holder}), or was killed less than"
                " a minute ago. End it, or wait a minute."
            )
        keep_claim()


def keep_claim() -> None:
    """Say that this demo lives."""
    SyncState.objects.filter(scope=CLAIM).update(
        holder=f"{socket.gethostname()}:{os.getpid()}"[:100],
        expires_at=timezone.now() + timedelta(seconds=CLAIM_SECONDS),
    )


def release_database() -> None:
    SyncState.objects.filter(scope=CLAIM).delete()


@transaction.atomic
def clear() -> int:
    """Remove what an earlier demo left; return how many cards that were."""
    if not LoyaltyProgram.objects.filter(slug=SLUG).exists():
        return 0
    # Every pass here is the demo's, so every run that delivered something is, too.
    SyncRun.objects.filter(batches__isnull=False).delete()
    WalletPass.objects.filter(program_key=SLUG).delete()
    WalletProgram.objects.filter(program_key=SLUG).delete()
    AppleDevice.objects.filter(registrations__isnull=True).delete()
    cards = LoyaltyCard.objects.filter(program__slug=SLUG)
    count = cards.count()
    cards.delete()
    LoyaltyProgram.objects.filter(slug=SLUG).delete()
    return count


def database_name() -> str:
    """Return the name of the database as people know it."""
    name = str(connection.settings_dict["NAME"])
    return Path(name).name if connection.vendor == "sqlite" else name


class Shop:
    """The demo's program and its customers. The same seed makes the same shop."""

    def __init__(self, *, seed: int = 1) -> None:
        self.random = random.Random(seed)  # noqa: S311 (chance, not a secret)  # nosec B311
        self.cards: list[LoyaltyCard] = []

    @transaction.atomic
    def open(self, size: int) -> int:
        """Make the program and its cards, as if for weeks; return the number of transactions."""
        program = LoyaltyProgram.objects.create(
            slug=SLUG,
            name="Corner Coffee Club",
            issuer_name="Corner Coffee",
            kind=LoyaltyProgram.Kind.HYBRID,
            background_color="#5d4037",
            points_label="Beans",
            stamps_required=STAMPS_REQUIRED,
            reward="Every tenth coffee is on us",
            google_wallet=GOOGLE,
            apple_wallet=APPLE,
        )
        visits = [self._visits() for _ in range(size)]
        self.cards = LoyaltyCard.objects.bulk_create(
            self._card(program, number, history) for number, history in enumerate(visits, start=1)
        )
        entries = LoyaltyTransaction.objects.bulk_create(
            self._entry(card, days, points)
            for card, history in zip(self.cards, visits, strict=True)
            for days, points in history
        )
        # Older than any window, so that a later run has only today's changes to look at.
        long_ago = timezone.now() - timedelta(days=30)
        LoyaltyCard.objects.filter(program=program).update(updated_at=long_ago)
        issue(card.key for card in self.cards)
        return len(entries)

    def pick(self, count: int, *, but: Iterable[LoyaltyCard] = ()) -> list[LoyaltyCard]:
        """Return so many different cards by chance, none of those named."""
        left_out = {card.pk for card in but}
        return self.random.sample([card for card in self.cards if card.pk not in left_out], count)

    def serve(self, card: LoyaltyCard) -> None:
        """Sell one coffee: what a till does with the app."""
        points = self.random.randrange(20, 90)
        if card.points_balance > 600 and self.random.random() < 0.2:
            card.record("redeem", points=500, reference="free beans")
        elif card.stamps >= STAMPS_REQUIRED:
            card.record("redeem", stamps=STAMPS_REQUIRED, reference="free coffee")
        else:
            card.record("earn", points=points, stamps=1, reference="coffee")

    @transaction.atomic
    def import_behind_our_back(self, card: LoyaltyCard, points: int) -> None:
        """Move a balance as an import does: in bulk, without a word to the app."""
        LoyaltyTransaction.objects.bulk_create(
            [LoyaltyTransaction(card=card, kind="earn", points=points, reference="till import")]
        )
        LoyaltyCard.objects.filter(pk=card.pk).update(points_balance=F("points_balance") + points)

    def _visits(self) -> Sequence[tuple[int, int]]:
        """Return days ago and points of each past visit."""
        return [
            (self.random.randrange(30, 90), self.random.randrange(20, 90))
            for _ in range(self.random.randrange(1, 9))
        ]

    def _card(
        self, program: LoyaltyProgram, number: int, visits: Sequence[tuple[int, int]]
    ) -> LoyaltyCard:
        points = sum(points for _, points in visits)
        name = f"{self.random.choice(FIRST_NAMES.split())} {self.random.choice(LAST_NAMES.split())}"
        return LoyaltyCard(
            program=program,
            card_number=f"CC-{number:04}",
            holder_name=name,
            points_balance=points,
            stamps=len(visits),
            tier="Gold" if points > 300 else "Silver" if points > 150 else "",
        )

    def _entry(self, card: LoyaltyCard, days: int, points: int) -> LoyaltyTransaction:
        return LoyaltyTransaction(
            card=card,
            kind=LoyaltyTransaction.Kind.EARN,
            points=points,
            stamps=1,
            reference="coffee",
            created_at=timezone.now() - timedelta(days=days),
        )
