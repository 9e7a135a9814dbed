"""What customers, providers and phones wrote is text wherever it is shown: never markup or a formula."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import (
    AppleDeviceComplaint,
    LoyaltyCard,
    LoyaltyProgram,
    SyncFailure,
    SyncRun,
    WalletAudit,
    WalletProbe,
)
from loyalty_wallet.sync import sync_wallet_passes
from tests.admin.pages import sync_url
from tests.phonefront import PASS_TYPE, iphone_pass, register

from .crawl import admin_pages, said, text_of

SCRIPT = "<script>alert(1)</script>"
QUOTED = "\"'><img src=x onerror=alert(1)>"
MARKUP = f"{SCRIPT}{QUOTED}"


@pytest.fixture
def card(
    program: LoyaltyProgram, configure_apple: Callable[..., None], google: GoogleEmulator
) -> LoyaltyCard:
    """A card that is markup wherever it can be, and has failed with more of it."""
    LoyaltyProgram.objects.filter(pk=program.pk).update(
        name=f"Name {MARKUP}",
        issuer_name=f"Issuer {MARKUP}",
        points_label=SCRIPT,
        reward=f"Reward {MARKUP}",
        kind=LoyaltyProgram.Kind.HYBRID,
    )
    program.refresh_from_db()
    card = LoyaltyCard.objects.create(
        program=program,
        card_number=f"N{SCRIPT}",
        holder_name=f"Holder {MARKUP}",
        tier=SCRIPT,
    )
    sync_wallet_passes()
    register(card)
    google.fail(status=400, reason="invalid", message=f"Invalid {MARKUP}", times=1)
    card.record("earn", points=5, reference=f"R{SCRIPT}")
    sync_wallet_passes()
    assert SyncFailure.objects.get().message.startswith("Invalid <script>")
    line = f"(pass type {PASS_TYPE}, serial number {iphone_pass(card).remote_id}) {MARKUP}"
    Client().post(
        "/wallet/apple/v1/log", json.dumps({"logs": [line]}), content_type="application/json"
    )
    now = timezone.now()
    finding = {"kind": MARKUP, "card_id": MARKUP, "remote_id": MARKUP, "fields": [MARKUP]}
    WalletAudit.objects.create(
        wallet=MARKUP[:64],
        program_key=MARKUP,
        status="failed",
        started_at=now,
        heartbeat_at=now,
        error=f"Audit {MARKUP}",
        findings=[finding],
        counts={"different": 1},
    )
    WalletProbe.objects.create(wallet="google", checked_at=now, code="network", message=MARKUP)
    SyncRun.objects.create(
        trigger="command",
        status="failed",
        error=f"google: rejected: {MARKUP}",
        selection={"kind": "cards", "cards": [MARKUP]},
        started_at=now,
        finished_at=now,
    )
    return card


def markup_in(page: str) -> list[str]:
    """Return what of the markup would be taken for markup."""
    return re.findall(r"<script>alert|<img src=x|[^\w&;]onerror=alert\(1\)>[^&]", page)


def test_pages_of_the_admin(boss: Client, card: LoyaltyCard) -> None:
    """Names, references, messages, reports of phones, findings and selections: text on each page.

    And each page forbids being framed and being kept.
    """
    shown = 0
    for url, answer in admin_pages(boss):
        page = text_of(answer)
        assert answer.status_code == 200, url
        if "text/html" in answer["Content-Type"]:
            assert markup_in(page) == [], url
            assert answer["X-Frame-Options"] == "DENY", url
            assert "no-store" in answer["Cache-Control"], url
            shown += "&lt;script&gt;alert(1)" in page
    assert AppleDeviceComplaint.objects.exists()
    assert shown > 15


def test_page_of_the_card(card: LoyaltyCard) -> None:
    """What a customer is called is text on the page that they open."""
    answer = Client().get(card.get_card_url())
    page = answer.content.decode()
    assert answer.status_code == 200
    assert markup_in(page) == []
    assert "Holder &lt;script&gt;" in page
    assert answer["X-Frame-Options"] == "DENY"


def test_progress_is_json_that_no_browser_takes_for_a_page(boss: Client, card: LoyaltyCard) -> None:
    """It says how far a run is to a script that writes text."""
    run = SyncRun.objects.latest("pk")
    answer = boss.get(reverse("admin:loyalty_wallet_syncrun_progress", args=[run.pk]))
    assert answer["Content-Type"] == "application/json"
    assert answer["X-Content-Type-Options"] == "nosniff"


def test_going_back_leads_nowhere_else(
    boss: Client, right_cards: Callable[[int], list[LoyaltyCard]]
) -> None:
    """The address of the page with the button is posted: another site's is not followed."""
    (card,) = right_cards(1)
    own = reverse("admin:loyalty_wallet_loyaltycard_change", args=[card.pk])
    for page in (
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "javascript:alert(1)",
        "http:///evil.example",
        "\nhttps://evil.example",
    ):
        answer = boss.post(sync_url("loyaltycard", card.pk), {"next": page})
        assert answer["Location"] == own, page


def test_addresses_are_not_built_from_a_forged_host(
    right_cards: Callable[[int], list[LoyaltyCard]], boss: Client
) -> None:
    """Links and codes name the host of the request, so a host that is not ours is refused first."""
    (card,) = right_cards(1)
    for client, url in ((Client(), card.get_card_url()), (boss, sync_url("loyaltycard", card.pk))):
        answer: Any = client.get(url, headers={"host": "evil.example"})
        assert answer.status_code == 400
        assert "evil.example/wallet" not in answer.content.decode()


@pytest.mark.parametrize("order", ["sync", "sync_now"])
def test_orders_need_the_forms_token(
    boss: Client, right_cards: Callable[[int], list[LoyaltyCard]], order: str
) -> None:
    """Another site cannot press our buttons for somebody who is logged in."""
    (card,) = right_cards(1)
    careful = Client(enforce_csrf_checks=True)
    careful.cookies = boss.cookies
    url = (
        sync_url("loyaltycard", card.pk)
        if order == "sync"
        else reverse("admin:loyalty_wallet_syncrun_sync_now")
    )
    assert careful.post(url).status_code == 403
    assert SyncRun.objects.count() == 1


def test_the_commands_file_holds_no_formula(
    google: GoogleEmulator, right_cards: Callable[[int], list[LoyaltyCard]], tmp_path: Path
) -> None:
    """`--failures` is opened in a spreadsheet, too."""
    (card,) = right_cards(1)
    google.fail(status=400, reason="invalid", message='=HYPERLINK("https://evil.example")')
    card.record("earn", points=5)
    path = tmp_path / "failures.csv"
    assert "1 failed" in said("sync_wallet_passes", "--failures", str(path))
    with path.open(encoding="utf-8") as file:
        [row] = csv.DictReader(file)
    assert row["message"].startswith("'=HYPERLINK")
    assert row["card_id"] == card.key
