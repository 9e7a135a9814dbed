"""History goes after its time, and totals stay right."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from loyalty_wallet.models import (
    GoogleCallback,
    LoyaltyCard,
    SyncAlert,
    SyncBatch,
    SyncFailure,
    SyncRun,
    WalletAudit,
    WalletPass,
)
from loyalty_wallet.sync import SyncReport

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db


def ended(days_ago: int) -> SyncRun:
    moment = timezone.now() - timedelta(days=days_ago)
    return SyncRun.objects.create(status="partial", started_at=moment, finished_at=moment)


def prune(*args: str) -> str:
    stdout = StringIO()
    call_command("prune_sync_runs", *args, stdout=stdout)
    return stdout.getvalue()


def test_old_runs_go_and_young_ones_stay() -> None:
    """400 days, and nothing that is still going."""
    young, old, going = ended(399), ended(401), SyncRun.objects.create(status="running")
    assert "Would remove 1 runs" in prune("--dry-run")
    assert SyncRun.objects.count() == 3
    assert "Removed 1 runs" in prune()
    assert set(SyncRun.objects.all()) == {young, going}
    assert not SyncRun.objects.filter(pk=old.pk).exists()


def test_old_alarms_go_once_they_are_over() -> None:
    """400 days after their end; one that is open stays, however old."""
    now = timezone.now()
    for days in (399, 401):
        moment = now - timedelta(days=days)
        SyncAlert.objects.create(
            code=f"d{days}", value=2, threshold=1, raised_at=moment, resolved_at=moment
        )
    SyncAlert.objects.create(code="open", value=2, threshold=1, raised_at=now - timedelta(days=900))
    assert "1 alarms" in prune("--dry-run")
    assert SyncAlert.objects.count() == 3
    assert "1 alarms" in prune()
    assert set(SyncAlert.objects.values_list("code", flat=True)) == {"d399", "open"}


def test_expired_callbacks_and_old_audits_go() -> None:
    """A nonce outlives its message by a day, an audit stays as long as a run."""
    now = timezone.now()
    for hours in (23, 25):
        GoogleCallback.objects.create(
            nonce=f"n{hours}", event="save", expires_at=now - timedelta(hours=hours)
        )
    for days in (399, 401):
        moment = now - timedelta(days=days)
        WalletAudit.objects.create(
            wallet=f"w{days}", started_at=moment, heartbeat_at=moment, finished_at=moment
        )
    assert "1 audits, 0 alarms, 1 expired callbacks" in prune("--dry-run")
    assert "1 audits, 0 alarms, 1 expired callbacks" in prune()
    assert GoogleCallback.objects.get().nonce == "n23"
    assert WalletAudit.objects.get().wallet == "w399"


def test_batches_of_old_runs_are_summed_up(make_cards: MakeCards) -> None:
    """The totals of a run are the same before and after."""
    make_cards(1)
    run, young = ended(31), ended(29)
    for number in range(5):
        for of in (run, young):
            SyncBatch.objects.create(
                run=of, worker="w", wallet="google", counts={"updated": number, "requests": 2}
            )
    before = SyncReport.of_run(run).wallets

    assert "4 batches" in prune()

    assert SyncReport.of_run(run).wallets == before
    assert run.batches.count() == 1
    assert young.batches.count() == 5
    assert "0 batches" in prune()


def test_resolved_failures_go_and_open_ones_stay(make_cards: MakeCards) -> None:
    """90 days after they were resolved; what is still wrong is never forgotten."""
    make_cards(1)
    run, wallet_pass = ended(200), WalletPass.objects.get()
    now = timezone.now()
    for resolved_days in (None, 10, 91):
        SyncFailure.objects.create(
            run=run,
            wallet_pass=wallet_pass,
            code="rejected",
            failed_at=now - timedelta(days=200),
            resolved_at=None if resolved_days is None else now - timedelta(days=resolved_days),
        )

    assert "1 failures" in prune()

    assert SyncFailure.objects.count() == 2
    assert SyncFailure.objects.open().count() == 1


def test_a_long_history_goes_in_short_transactions(
    make_cards: MakeCards, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 66: however much hangs on one old run, no statement removes more than a chunk."""
    monkeypatch.setattr("loyalty_wallet.sync.retention.CHUNK_SIZE", 100)
    make_cards(1)
    wallet_pass = WalletPass.objects.get()
    runs = [ended(401), ended(402)]
    SyncFailure.objects.bulk_create(
        SyncFailure(run=run, wallet_pass=wallet_pass, code="rejected", failed_at=timezone.now())
        for run in runs * 1000
    )
    SyncBatch.objects.bulk_create(
        SyncBatch(run=run, worker="w", wallet="google") for run in runs * 300
    )
    deleted: list[int] = []

    def count(execute, sql, params, many, context):  # type: ignore[no-untyped-def]
        result = execute(sql, params, many, context)
        if sql.startswith("DELETE"):
            deleted.append(context["cursor"].rowcount)
        return result

    with connection.execute_wrapper(count):
        assert "Removed 2 runs" in prune()

    assert sum(deleted) >= 2602
    assert max(deleted) <= 100
    assert not SyncFailure.objects.exists()
    assert not SyncBatch.objects.exists()


def test_the_days_can_be_chosen() -> None:
    """Each kind of row has its own option."""
    ended(10)
    prune("--runs", "9")
    assert not SyncRun.objects.exists()


def test_a_pass_survives_the_run_it_was_last_in(make_cards: MakeCards) -> None:
    """Only the reference goes."""
    make_cards(1)
    run = ended(500)
    WalletPass.objects.update(last_run=run)
    prune()
    assert WalletPass.objects.get().last_run is None
