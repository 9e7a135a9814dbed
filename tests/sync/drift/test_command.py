"""What `wallet_audit` says, shows and returns."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import pytest

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard
from tests.shopfront import pass_of

from .auditing import command

pytestmark = pytest.mark.django_db(transaction=True)

MakeCards = Callable[[int], list[LoyaltyCard]]


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
