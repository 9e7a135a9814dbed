"""Audits that meet trouble: providers that fail, wrong orders, Ctrl-C, and limits."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.exceptions import SelectionError
from loyalty_wallet.management.commands import wallet_audit
from loyalty_wallet.models import LoyaltyCard, WalletAudit, WalletLimit, WalletPass
from loyalty_wallet.sync.drift import audit_wallets
from tests.shopfront import Configure

from .auditing import audit, command, nonzero

pytestmark = pytest.mark.django_db(transaction=True)

MakeCards = Callable[[int], list[LoyaltyCard]]


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
