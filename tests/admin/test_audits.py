"""Audits in the admin: what was found, for whom it may concern."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.test import Client
from django.utils import timezone

from loyalty_wallet.models import LoyaltyCard, WalletAudit
from tests.admin.pages import list_url, page_url, text_of

pytestmark = pytest.mark.django_db

MakeCards = Callable[[int], list[LoyaltyCard]]


def make(**changes: object) -> WalletAudit:
    now = timezone.now()
    counts = {"objects": 1200, "equal": 1198, "different": 1, "unknown": 1, "requests": 12}
    return WalletAudit.objects.create(
        **{
            "wallet": "google",
            "status": "succeeded",
            "started_at": now,
            "heartbeat_at": now,
            "finished_at": now,
            "counts": counts,
            **changes,
        }
    )


def test_list_and_page(boss: Client, make_cards: MakeCards) -> None:
    """The list says what differs; the page names cards, objects and fields, as text."""
    (card,) = make_cards(1)
    finding = {"kind": "different", "card_id": card.key, "program": "coffee"}
    row = make(
        findings=[
            {**finding, "remote_id": "1.<b>", "fields": ["state", "barcode"]},
            {**finding, "kind": "unknown", "card_id": "", "remote_id": "1.alien", "fields": []},
        ]
    )
    assert "differs" in text_of(boss.get(list_url("walletaudit")))
    page = boss.get(page_url("walletaudit", row.pk))
    for words in ("1,200", "1.<b>", "state, barcode", "not ours", "1.alien", "--fix"):
        assert words in text_of(page)
    assert "1.&lt;b&gt;" in page.content.decode()


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"counts": {"objects": 3}}, "as delivered"),
        ({"counts": {"missing": 2, "fixed": 2}}, "made due"),
        ({"status": "failed", "error": "unavailable: no"}, "failed"),
        ({"status": "running", "finished_at": None, "counts": {}}, "running"),
    ],
)
def test_outcomes(boss: Client, changes: dict[str, object], word: str) -> None:
    """One word says how it is."""
    make(**changes)
    badges = re.findall(
        r'class="lw-badge[^>]*>([^<]*)<', boss.get(list_url("walletaudit")).content.decode()
    )
    assert badges == [word]


def test_nobody_edits_history(boss: Client, login: Callable[..., Client]) -> None:
    """It is there to be read, by who may."""
    row = make()
    assert boss.post(page_url("walletaudit", row.pk), {}).status_code == 403
    assert login().get(list_url("walletaudit")).status_code == 403
