"""What Google really has, whoever changed it, and what is done about it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import (
    LoyaltyCard,
    LoyaltyProgram,
    WalletAudit,
    WalletPass,
    WalletProgram,
)
from loyalty_wallet.sync import sync_wallet_passes
from loyalty_wallet.sync.drift import findings
from tests.shopfront import balance_at, pass_of

from .auditing import audit, nonzero

pytestmark = pytest.mark.django_db(transaction=True)

MakeCards = Callable[[int], list[LoyaltyCard]]
Presence = WalletPass.Presence
Source = WalletPass.PresenceSource


class TestFindings:
    def test_every_planted_difference_and_no_other(
        self, google: GoogleEmulator, cards: MakeCards
    ) -> None:
        """Of 520 cards: what was changed, what is gone, what is not ours; in one request a hundred."""
        made = cards(520)
        changed, gone = made[8::101], made[3::103]
        for card in changed:
            google.edit_object(card.google_object_id, accountName="Mallory", state="EXPIRED")
        for card in gone:
            google.forget_object(card.google_object_id)
        stranger = google.objects[made[0].google_object_id] | {"id": f"{google.issuer_id}.alien"}
        google._service.api.objects.put(stranger["id"], stranger)

        row = audit()

        assert row.status == WalletAudit.Status.SUCCEEDED
        assert nonzero(row) == {
            "requests": 6,
            "objects": 521 - len(gone),
            "equal": 520 - len(gone) - len(changed),
            "different": len(changed),
            "missing": len(gone),
            "unknown": 1,
        }
        by_kind: dict[str, set[str]] = {}
        for finding in row.findings:
            by_kind.setdefault(finding["kind"], set()).add(finding["remote_id"])
        assert by_kind == {
            "different": {card.google_object_id for card in changed},
            "missing": {card.google_object_id for card in gone},
            "unknown": {stranger["id"]},
        }
        fields = {tuple(f["fields"]) for f in row.findings if f["kind"] == "different"}
        assert fields == {("accountName", "state")}
        assert not WalletPass.objects.due().exists()
        queries = [entry.query["fields"] for entry in google.object_requests]
        assert all(query.startswith("resources(id,classId,") for query in queries)

    def test_fix(self, google: GoogleEmulator, cards: MakeCards) -> None:
        """What is missing or different becomes due and is sent; the rest, and strangers, stay."""
        different, missing, right = cards(3)
        google.edit_object(different.google_object_id, accountId="X")
        google.forget_object(missing.google_object_id)
        stranger = google.objects[right.google_object_id] | {"id": f"{google.issuer_id}.alien"}
        google._service.api.objects.put(stranger["id"], stranger)

        row = audit(fix=True)

        assert nonzero(row) == {
            "requests": 1,
            "objects": 3,
            "equal": 1,
            "different": 1,
            "missing": 1,
            "unknown": 1,
            "fixed": 2,
        }
        due = WalletPass.objects.due().values_list("card_key", "fingerprint")
        assert set(due) == {(different.key, ""), (missing.key, "")}
        assert sync_wallet_passes().status == "succeeded"
        assert google.objects[different.google_object_id]["accountId"] == different.card_number
        assert balance_at(google, missing) == 0
        assert google.objects[stranger["id"]] == stranger
        WalletPass.objects.update(synced_at=F("synced_at") - timedelta(hours=1))
        assert nonzero(audit()) == {"requests": 1, "objects": 4, "equal": 3, "unknown": 1}

    def test_what_is_due_or_fresh_is_no_difference(
        self, google: GoogleEmulator, cards: MakeCards
    ) -> None:
        """We know that a due pass is wrong; one that was sent just now may not be listed yet."""
        due, fresh, gone, old = cards(4)
        due.record("earn", points=3)
        WalletPass.objects.filter(card_key=fresh.key).update(synced_at=timezone.now())
        google.edit_object(fresh.google_object_id, accountId="X")
        gone.record("earn", points=3)
        google.forget_object(gone.google_object_id)
        row = audit(fix=True)
        assert nonzero(row) == {"requests": 1, "objects": 3, "equal": 1, "due": 2, "recent": 1}
        assert row.findings == []
        assert not pass_of(old).is_due

    def test_delivered_while_the_page_was_read(
        self, google: GoogleEmulator, cards: MakeCards
    ) -> None:
        """A page that is older than a delivery accuses nobody."""
        (card,) = cards(1)

        def sell_meanwhile(entry: Any) -> None:
            if entry.method == "GET":
                # After the page was asked for, though before it is compared.
                WalletPass.objects.update(synced_at=timezone.now(), payload={"accountId": "new"})
                connection.close()

        google.on_request = sell_meanwhile
        row = audit()
        google.on_request = None
        assert nonzero(row) == {"requests": 1, "objects": 1, "recent": 1}
        assert pass_of(card).payload == {"accountId": "new"}

    def test_a_class_that_is_gone(self, google: GoogleEmulator, cards: MakeCards) -> None:
        """All its cards are missing, and come back with their class."""
        made = cards(3)
        (program,) = WalletProgram.objects.all()
        for card in made:
            google.forget_object(card.google_object_id)
        google.forget_class(program.remote_id)
        google.fail(status=404, method="GET")
        assert nonzero(audit(fix=True)) == {"requests": 1, "missing": 3, "fixed": 3}
        google.heal()
        assert sync_wallet_passes().status == "succeeded"
        assert set(google.objects) == {card.google_object_id for card in made}

    def test_counts_are_whole_where_findings_are_cut(
        self, google: GoogleEmulator, cards: MakeCards, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A class that was emptied writes no million rows."""
        monkeypatch.setattr(findings, "MOST_KEPT", 2)
        for card in cards(5):
            google.forget_object(card.google_object_id)
        row = audit()
        assert (row.counts["missing"], len(row.findings)) == (5, 2)

    def test_one_program_of_several(self, google: GoogleEmulator, cards: MakeCards) -> None:
        """The others are neither read nor missed."""
        (coffee,) = cards(1)
        tea = LoyaltyProgram.objects.create(name="Tea", slug="tea", issuer_name="Café")
        card = LoyaltyCard.objects.create(program=tea, card_number="T1")
        sync_wallet_passes()
        WalletPass.objects.update(synced_at=F("synced_at") - timedelta(hours=1))
        google.forget_object(coffee.google_object_id)
        google.forget_object(card.google_object_id)
        row = audit(program="tea")
        assert nonzero(row) == {"requests": 1, "missing": 1}
        assert row.findings[0]["card_id"] == card.key
        assert nonzero(audit()) == {"requests": 2, "missing": 2}


class TestPresence:
    def test_hints(self, google: GoogleEmulator, cards: MakeCards) -> None:
        """Who has a card is noted where nothing better is known, or what is known is a day old."""
        unknown, lost, fresh, gone = cards(4)
        for card in (unknown, lost, fresh):
            google.edit_object(card.google_object_id, hasUsers=True)
        long_ago = timezone.now() - timedelta(days=2)
        for card, presence, moment in (
            (lost, Presence.REMOVED, long_ago),
            (fresh, Presence.REMOVED, timezone.now()),
            (gone, Presence.IN_WALLET, long_ago),
        ):
            WalletPass.objects.filter(card_key=card.key).update(
                presence=presence, presence_source=Source.CALLBACK, presence_at=moment
            )
        audit()
        known = {
            card.pk: (pass_of(card).presence, pass_of(card).presence_source)
            for card in (unknown, lost, fresh, gone)
        }
        assert known == {
            unknown.pk: (Presence.IN_WALLET, Source.AUDIT),
            lost.pk: (Presence.IN_WALLET, Source.AUDIT),
            fresh.pk: (Presence.REMOVED, Source.CALLBACK),
            gone.pk: (Presence.REMOVED, Source.AUDIT),
        }
