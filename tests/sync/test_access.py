"""Tokens, keys and permissions that Google refuses, and secrets that go nowhere."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, SyncFailure, SyncRun, WalletPass
from loyalty_wallet.sync import sync_wallet_passes
from tests.shopfront import Configure, balance_at

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db


def test_a_token_that_expires_during_the_run_is_renewed_once(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """Case 17: a 401 costs one refresh for all, and no card."""
    cards = right_cards(20)
    for card in cards:
        card.record("earn", points=5)
    google.revoke_tokens()

    report = sync_wallet_passes()

    assert report.cards["synced"] == 20
    assert report.failed_card_ids == ()
    assert len(google.token_requests) == 1
    assert all(balance_at(google, card) == 5 for card in cards)


def test_a_revoked_key_stops_the_wallet_before_any_card_is_tried(
    google: GoogleEmulator, configure: Configure, right_cards: MakeCards
) -> None:
    """Case 18: `invalid_grant` is one clear message, the cards stay due, none is failed."""
    cards = right_cards(30)
    for card in cards:
        card.record("earn", points=5)
    configure()  # a new process: it has no token yet
    google.revoke_key()

    report = sync_wallet_passes()

    assert report.status == "failed"
    assert "unauthorized" in report.error
    assert "invalid_grant" in report.error
    assert report.untried_wallets == ("google",)
    assert report.cards["left"] == 30
    assert report.failed_card_ids == ()
    assert google.object_requests == []
    assert len(google.token_requests) == 1
    assert WalletPass.objects.due().unleased().count() == 30

    google.restore_key()
    assert sync_wallet_passes().cards["synced"] == 30


def test_a_permission_taken_away_stops_the_wallet_after_the_first_answers(
    google: GoogleEmulator, configure: Configure, right_cards: MakeCards
) -> None:
    """403 permissionDenied: what was in flight fails, the rest is left and stays due."""
    cards = right_cards(30)
    for card in cards:
        card.record("earn", points=5)
    configure(concurrency=2)
    google.deny_issuer()

    report = sync_wallet_passes()

    assert {failure.code for failure in report.failures} == {"forbidden"}
    assert 1 <= len(report.failures) <= 2
    assert report.cards["left"] == 30 - len(report.failures)
    assert len(google.object_requests) <= 2
    assert WalletPass.objects.due().unleased().count() == 30


def test_no_request_goes_anywhere_else_and_none_follows_a_redirect(
    google: GoogleEmulator, right_cards: MakeCards
) -> None:
    """A redirect is a broken configuration: the wallet stops, and the token stays here."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    with GoogleEmulator(requests_per_second=None) as elsewhere:
        google.misbehave(
            "redirect", object_id=card.google_object_id, location=f"{elsewhere.url}/steal"
        )
        report = sync_wallet_passes()
        assert elsewhere.requests == []

    assert [(f.code, f.attempts) for f in report.failures] == [("misconfigured", 1)]


def test_nothing_secret_is_written_anywhere(
    google: GoogleEmulator,
    right_cards: MakeCards,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Tokens and keys appear in no report, no table and no log line."""
    (card,) = right_cards(1)
    card.record("earn", points=5)
    caplog.set_level("DEBUG")
    sync_wallet_passes()
    token = google.object_requests[-1].token
    assert token
    google.fail(object_id=card.google_object_id, status=400, message=f"Bearer {token}")
    card.record("earn", points=5)

    report = sync_wallet_passes()

    assert report.failed_card_ids == (card.key,)

    secrets = [token, google.service_account["private_key"][40:80]]
    written = json.dumps(report.as_dict()) + caplog.text + report.error
    written += "".join(str(row) for row in SyncFailure.objects.values())
    written += "".join(str(row) for row in SyncRun.objects.values())
    written += "".join(str(row) for row in WalletPass.objects.values())
    assert not [secret for secret in secrets if secret in written]
