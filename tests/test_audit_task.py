"""The weekly task: the drift audit as beat calls it. It needs Celery, which the audit does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db.models import F

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, WalletPass
from loyalty_wallet.tasks import audit_wallets_task
from tests.shopfront import configure, google, make_cards, program, right_cards

__all__ = ["configure", "google", "make_cards", "program", "right_cards"]


@pytest.mark.django_db(transaction=True)
def test_it_reports_and_mends_only_when_told(
    google: GoogleEmulator, right_cards: Callable[[int], list[LoyaltyCard]]
) -> None:
    """What its beat entry says decides."""
    (card,) = right_cards(1)
    # A card that changed just now is not looked at.
    WalletPass.objects.update(synced_at=F("synced_at") - timedelta(hours=1))
    google.edit_object(card.google_object_id, accountId="X")

    [report] = audit_wallets_task()
    assert (report["counts"]["different"], report["counts"]["fixed"]) == (1, 0)

    [report] = audit_wallets_task(fix=True)
    assert report["counts"]["fixed"] == 1
    assert json.dumps(report)
