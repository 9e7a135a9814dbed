"""Failures as a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from loyalty_wallet.admin import exports
from loyalty_wallet.models import SyncFailure, SyncRun, WalletPass
from loyalty_wallet.redaction import harmless
from tests.shopfront import Configure

from .pages import ask, list_url

Login = Callable[..., Client]


def _failures(run: SyncRun, count: int, **values: Any) -> None:
    first = WalletPass.objects.count()
    passes = WalletPass.objects.bulk_create(
        WalletPass(card_key=f"key-{n}", wallet="google", remote_id=f"r-{n}", card_label=f"Zoë {n}")
        for n in range(first, first + count)
    )
    SyncFailure.objects.bulk_create(
        SyncFailure(
            run=run,
            wallet_pass=row,
            failed_at=timezone.now(),
            **{"code": "rejected", "message": "No", **values},
        )
        for row in passes
    )


def _rows(answer: Any) -> list[dict[str, str]]:
    assert answer.streaming
    text = b"".join(answer.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(text.splitlines()))


def test_failures_of_selected_runs_are_exported(
    boss: Client, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each failure of the selected runs is one row, however many chunks they are read in."""
    monkeypatch.setattr(exports, "CHUNK_SIZE", 2)
    run, other = (SyncRun.objects.create(status="partial") for _ in range(2))
    _failures(run, 5)
    _failures(other, 1)
    answer = ask(boss, list_url("syncrun"), [run.pk], action="export_failures")
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"] == f'attachment; filename="failures-run-{run.pk}.csv"'
    rows = _rows(answer)
    assert [row["card"] for row in rows] == [f"key-{number}" for number in range(5)]
    assert {row["run"] for row in rows} == {str(run.pk)}
    assert rows[0]["label"] == "Zoë 0"
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.change_message) == (str(run.pk), "Failures exported.")


def test_failures_that_match_a_filter_are_exported(boss: Client, db: None) -> None:
    """All that a list shows is exported, and nothing else, though one row stands for them."""
    run = SyncRun.objects.create(status="partial")
    _failures(run, 120, code="bug")
    _failures(run, 3, code="timeout")
    url = f"{list_url('syncfailure')}?code=bug"
    pk = SyncFailure.objects.filter(code="bug")[:1].get().pk
    rows = _rows(ask(boss, url, [pk], across=True, action="export_failures"))
    assert len(rows) == 120
    assert {row["code"] for row in rows} == {"bug"}


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =cmd|'/c calc'!A1", "\n=1"]
)
def test_formula_stays_text(text: str) -> None:
    """What a spreadsheet would calculate gets a quote in front."""
    assert harmless(text) == f"'{text}"


@pytest.mark.parametrize("value", ["plain", "a=b", "", 7, None, True])
def test_other_cells_stay_as_they_are(value: object) -> None:
    """Only a text that begins as a formula is changed."""
    assert harmless(value) == value


def test_planted_formula_reaches_no_spreadsheet(boss: Client, db: None) -> None:
    """A provider's message and a customer's name are cells like any other."""
    run = SyncRun.objects.create(status="partial")
    _failures(run, 1, message="=HYPERLINK(0)", reason="@x")
    WalletPass.objects.update(card_label="+49 30")
    (row,) = _rows(ask(boss, list_url("syncrun"), [run.pk], action="export_failures"))
    assert (row["message"], row["reason"], row["label"]) == ("'=HYPERLINK(0)", "'@x", "'+49 30")


@pytest.mark.parametrize(
    "held",
    [("view_syncfailure",), ("resync_walletpass",), ("view_syncfailure", "resync_walletpass")],
)
def test_export_needs_the_right_to_see_failures_and_to_send_again(
    login: Login, configure: Configure, held: tuple[str, ...]
) -> None:
    """A file of failures is for whoever may see them and put them right."""
    run = SyncRun.objects.create(status="partial")
    _failures(run, 1)
    client = login("view_syncrun", *held)
    answer = ask(client, list_url("syncrun"), [run.pk], action="export_failures")
    assert answer.streaming is (len(held) == 2)
