"""What the pages show beside fields, read in a fixed number of queries."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from ..models import SyncFailure, WalletPass
from .words import link, pass_status, remedy, run_link, when

MOST_FAILURES = 20


def card_passes(card_key: str) -> list[dict[str, Any]]:
    """Return one panel for each pass of a card; a card has one in each wallet at most."""
    passes = WalletPass.objects.for_cards([card_key]).defer("payload").order_by("wallet")
    return [_pass_panel(row) for row in passes]


def failure_rows(failures: Any) -> list[dict[str, Any]]:
    """Return the first of these failures for a table, with what to do about each."""
    rows = failures.select_related("wallet_pass").defer("wallet_pass__payload")
    return [_failure_row(row) for row in rows[:MOST_FAILURES]]


def _pass_panel(row: WalletPass) -> dict[str, Any]:
    last = row.failures.select_related("wallet_pass").order_by("-failed_at", "-pk").first()
    return {
        "row": row,
        "url": reverse("admin:loyalty_wallet_walletpass_change", args=[row.pk]),
        "status": pass_status(row),
        "due": when(row.due_at),
        "delivered": when(row.synced_at),
        "failure": last and _failure_row(last),
    }


def _failure_row(failure: SyncFailure) -> dict[str, Any]:
    url = reverse("admin:loyalty_wallet_syncfailure_change", args=[failure.pk])
    return {
        "row": failure,
        "code": link(url, failure.code),
        "when": when(failure.failed_at, is_short=True),
        "remedy": remedy(failure.code),
        "run": run_link(failure.run_id),
        "pass": link(
            reverse("admin:loyalty_wallet_walletpass_change", args=[failure.wallet_pass_id]),
            failure.wallet_pass,
        ),
        "is_open": failure.resolved_at is None,
        "resolved_at": when(failure.resolved_at, is_short=True),
    }
