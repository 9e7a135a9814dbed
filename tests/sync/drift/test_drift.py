"""The drift audit: what Google really has, whoever changed it, and what is done about it."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.exceptions import SelectionError
from loyalty_wallet.management.commands import wallet_audit
from loyalty_wallet.models import (
    LoyaltyCard,
    LoyaltyProgram,
    WalletAudit,
    WalletLimit,
    WalletPass,
    WalletProgram,
)
from loyalty_wallet.sync import sync_wallet_passes
from loyalty_wallet.sync.drift import audit_wallets, findings
from loyalty_wallet.sync.drift.marks import CHUNK_BITS, Marks
from tests.shopfront import Configure, balance_at, pass_of

pytestmark = pytest.mark.django_db(transaction=True)

MakeCards = Callable[[int], list[LoyaltyCard]]
Presence = WalletPass.Presence
Source = WalletPass.PresenceSource


@pytest.fixture
def cards(right_cards: MakeCards) -> MakeCards:
    """Make cards that have been right at Google for an hour."""

    def make(count: int) -> list[LoyaltyCard]:
        made = right_cards(count)
        WalletPass.objects.update(synced_at=F("synced_at") - timedelta(hours=1))
        return made

    return make


def audit(**options: Any) -> WalletAudit:
    [row] = audit_wallets(**options)
    return row


def nonzero(row: WalletAudit) -> dict[str, int]:
    return {name: count for name, count in row.counts.items() if count}


def command(*arguments: str) -> tuple[int, str]:
    stdout = StringIO()
    try:
        call_command("wallet_audit", *arguments, stdout=stdout)
    except CommandError as error:
        return error.returncode, f"{stdout.getvalue()}{error}"
    return 0, stdout.getvalue()


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


class TestTrouble:
    def test_what_passes_is_tried_again(self, google: GoogleEmulator, cards: MakeCards) -> None:
        """A page that failed for a moment is read again."""
        cards(2)
        google.fail(times=2, method="GET")
        assert nonzero(audit()) == {"requests": 3, "objects": 2, "equal": 2}

    @pytest.mark.parametrize(
        ("order", "code"),
        [({"status": 503}, "unavailable"), ({"action": "html"}, "unavailable")],
    )
    def test_a_provider_that_stays_down(
        self, google: GoogleEmulator, cards: MakeCards, order: dict[str, Any], code: str
    ) -> None:
        """The audit says why it has failed, and takes no card for missing."""
        cards(2)
        google.misbehave(**{"action": "status", **order})
        row = audit(fix=True)
        assert row.status == WalletAudit.Status.FAILED
        assert row.error.startswith(code)
        assert nonzero(row) == {"requests": 4}
        assert not WalletPass.objects.due().exists()

    def test_a_torn_list_misses_nobody(self, google: GoogleEmulator, cards: MakeCards) -> None:
        """Of two pages the second never comes: nothing is known of its cards."""
        made = cards(101)
        google.edit_object(made[0].google_object_id, accountId="X")

        def fail_later(entry: Any) -> None:
            if "token" in entry.query:
                google.misbehave("truncated", method="GET")

        google.on_request = fail_later
        row = audit(fix=True)
        google.on_request = None
        assert row.status == WalletAudit.Status.FAILED
        assert (row.counts["missing"], row.counts["different"], row.counts["fixed"]) == (0, 1, 1)

    def test_credentials(
        self, configure: Configure, google: GoogleEmulator, cards: MakeCards
    ) -> None:
        """Without a token nothing could be tried."""
        cards(1)
        configure(timeout_seconds=5)  # a wallet that has no token yet
        google.revoke_key()
        status, said = command()
        assert status == 3
        assert "unauthorized" in said

    def test_unknown_wallet_or_program(self, cards: MakeCards) -> None:
        """What does not exist is named."""
        cards(1)
        with pytest.raises(SelectionError, match="silver"):
            audit(wallet="silver")
        assert command("--program", "none")[0] == 2
        assert not WalletAudit.objects.exists()

    def test_a_provider_that_lists_nothing(
        self, cards: MakeCards, configure_apple: Callable[..., None]
    ) -> None:
        """Apple's phones keep their passes to themselves: left out, or refused by name."""
        cards(1)
        configure_apple()
        with pytest.raises(SelectionError, match="does not tell"):
            audit(wallet="apple")
        assert [row.wallet for row in audit_wallets()] == ["google"]

    def test_nothing_to_audit(self, settings: Any, db: None) -> None:
        """A project without a wallet that can be listed is told so."""
        settings.LOYALTY_WALLET = {"WALLETS": {}}
        assert command()[0] == 3

    def test_an_audit_whose_process_died(self, cards: MakeCards) -> None:
        """The next one closes it, so that none is taken to be going for ever."""
        cards(1)
        long_ago = timezone.now() - timedelta(hours=1)
        dead = WalletAudit.objects.create(
            wallet="google", started_at=long_ago, heartbeat_at=long_ago
        )
        audit()
        dead.refresh_from_db()
        assert dead.status == WalletAudit.Status.INTERRUPTED
        assert dead.duration_seconds is not None

    def test_ctrl_c(self, google: GoogleEmulator, cards: MakeCards) -> None:
        """What was begun is on record as stopped early."""
        cards(1)

        def interrupt(_: WalletAudit) -> None:
            raise KeyboardInterrupt

        row = audit(on_progress=interrupt)
        assert (row.status, row.counts["objects"]) == (WalletAudit.Status.INTERRUPTED, 1)

    def test_ctrl_c_at_the_command(
        self, configure: Configure, google: GoogleEmulator, cards: MakeCards
    ) -> None:
        """A provider that does not answer is not waited for; the audit is on record as stopped."""
        cards(1)
        configure(timeout_seconds=2)
        google.misbehave("hang")
        timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
        before = signal.getsignal(signal.SIGINT)
        timer.start()
        status, said = command()
        timer.join()
        assert status == 5
        assert said.endswith("google: Stopped early.")
        assert WalletAudit.objects.get().status == WalletAudit.Status.INTERRUPTED
        assert signal.getsignal(signal.SIGINT) is before

    def test_a_second_ctrl_c_within_sqlite(
        self, cards: MakeCards, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A database error that it was made into is not shown as one."""
        if connection.vendor != "sqlite":
            pytest.skip("Other databases call no Python.")
        cards(1)

        def press_twice(audit: WalletAudit) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            connection.connection.create_function(
                "press", 0, lambda: os.kill(os.getpid(), signal.SIGINT)
            )
            with connection.cursor() as cursor:
                cursor.execute("SELECT press()")

        monkeypatch.setattr(wallet_audit, "show_audit_progress", lambda _: nullcontext(press_twice))
        assert command() == (5, "Stopped at once.")
        assert WalletAudit.objects.get().finished_at is not None

    def test_time_is_up(self, cards: MakeCards) -> None:
        """An audit in the background ends by itself before it is ended."""
        cards(1)
        row = audit(max_seconds=0)
        assert (row.status, row.error) == (WalletAudit.Status.INTERRUPTED, "Stopped early.")

    def test_the_rate_limit_is_shared(
        self, configure: Configure, google: GoogleEmulator, cards: MakeCards
    ) -> None:
        """Each page is booked where all other requests are: nobody else gets its moment."""
        cards(301)
        configure(requests_per_second=20)
        started_at = timezone.now()
        assert nonzero(audit()) == {"requests": 4, "objects": 301, "equal": 301}
        booked_until = WalletLimit.objects.get(wallet="google").next_slot_at
        assert booked_until >= started_at + timedelta(seconds=4 / 20)


class TestDoors:
    def test_command(self, google: GoogleEmulator, cards: MakeCards) -> None:
        """It says what differs, how to go on, and by its exit status whether something does."""
        first, _ = cards(2)
        assert command()[0] == 0
        google.edit_object(first.google_object_id, accountId="X")
        status, said = command()
        assert status == 1
        for words in ("2 objects in 1 requests", "1 different", first.key, "accountId", "--fix"):
            assert words in said
        status, said = command("--fix", "--json")
        assert status == 0
        [report] = json.loads(said)
        assert report["counts"]["fixed"] == 1
        assert report["findings"][0]["remote_id"] == first.google_object_id
        assert pass_of(first).is_due

    def test_progress(
        self, cards: MakeCards, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever waits at a terminal sees how far it is."""
        cards(2)
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        assert command()[0] == 0
        shown = capsys.readouterr().err
        assert "Auditing" in shown
        assert "2/2" in shown


def test_marks() -> None:
    """A bit for each key, wherever it is."""
    marks = Marks()
    keys = {0, 1, 7, 8, CHUNK_BITS - 1, CHUNK_BITS, 10**12}
    for pk in keys:
        marks.add(pk)
    around = {pk + step for pk in keys for step in (-1, 0, 1) if pk + step >= 0}
    assert {pk for pk in around if pk in marks} == keys
    assert len(marks._chunks) == 3
