"""Starting, watching, stopping and repeating runs from the admin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, SyncBatch, SyncFailure, SyncRun, WalletPass
from loyalty_wallet.sync import queue_wallet_sync, sync_wallet_passes
from loyalty_wallet.sync.selection import Selection
from loyalty_wallet.tasks import drain_run
from tests.shopfront import balance_at

from .pages import ask, confirm, list_url, messages_of, page_url, text_of
from .test_broker import broker

Login = Callable[..., Client]
MakeCards = Callable[[int], list[LoyaltyCard]]
SYNC_NOW = "admin:loyalty_wallet_syncrun_sync_now"


def _progress(client: Client, run: SyncRun) -> Any:
    return client.get(reverse("admin:loyalty_wallet_syncrun_progress", args=[run.pk]))


def _failed_run(google: GoogleEmulator, cards: list[LoyaltyCard]) -> SyncRun:
    """A run in which the balance of each of these cards was refused."""
    fault = google.fail(status=400)
    for card in cards:
        card.record("earn", points=7)
    sync_wallet_passes()
    google.heal(fault)
    return SyncRun.objects.latest("pk")


def test_failed_cards_of_a_run_are_retried(
    boss: Client, right_cards: MakeCards, google: GoogleEmulator
) -> None:
    """After a question, what failed in a run is sent again in a run that knows what it repeats."""
    cards = right_cards(3)
    run = _failed_run(google, cards[:2])
    question = ask(boss, list_url("syncrun"), [run.pk])
    assert "Re-sync 2 cards?" in text_of(question)
    (message,) = messages_of(confirm(boss, list_url("syncrun"), question))
    assert message.startswith("2 cards are up to date.")
    retry = SyncRun.objects.get(trigger=SyncRun.Trigger.ADMIN)
    assert retry.retry_of == run
    assert [balance_at(google, card) for card in cards] == [7, 7, 0]
    assert LogEntry.objects.get().object_id == str(run.pk)
    page = text_of(boss.get(page_url("syncrun", run.pk)))
    assert f"Retried by Run {retry.pk}" in page
    assert f"2 passes put right by Run {retry.pk}" in page
    assert "Retry failed cards" not in page
    assert f"Retry of Run {run.pk}" in text_of(boss.get(page_url("syncrun", retry.pk)))


def test_what_several_runs_failed_with_is_retried_once(
    boss: Client, right_cards: MakeCards, google: GoogleEmulator
) -> None:
    """A card that failed in both of two runs is one card; each run's history names the new one."""
    cards = right_cards(2)
    runs = [_failed_run(google, cards[:1])]
    runs.append(_failed_run(google, cards))
    url = list_url("syncrun")
    question = ask(boss, url, [run.pk for run in runs])
    assert "Re-sync 2 cards?" in text_of(question)
    confirm(boss, url, question)
    retry = SyncRun.objects.get(trigger=SyncRun.Trigger.ADMIN)
    assert retry.retry_of is None
    assert not SyncFailure.objects.open().exists()
    assert {entry.object_id for entry in LogEntry.objects.all()} == {str(run.pk) for run in runs}


def test_run_without_open_failures_has_nothing_to_retry(
    boss: Client, right_cards: MakeCards
) -> None:
    """Nobody is asked about nothing."""
    right_cards(1)
    answer = boss.post(
        list_url("syncrun"),
        {"action": "resync_cards", "_selected_action": [SyncRun.objects.get().pk]},
        follow=True,
    )
    assert messages_of(answer) == ["Nothing to retry: no failure of it is open."]


@pytest.mark.django_db(transaction=True)
def test_sync_now_queues_one_full_run(
    boss: Client, right_cards: MakeCards, google: GoogleEmulator
) -> None:
    """The button queues a run over everything due for a worker; a second click adds none."""
    (card,) = right_cards(1)
    card.record("earn", points=3)
    google._service.log.clear()
    with broker("memory://loyalty-wallet-sync-now"):
        assert "Sync now" in text_of(boss.get(list_url("syncrun")))
        (message,) = messages_of(boss.post(reverse(SYNC_NOW), follow=True))
        run = SyncRun.objects.get(trigger=SyncRun.Trigger.ADMIN)
        assert message.startswith("A run over everything due is queued for a worker.")
        assert page_url("syncrun", run.pk) in message
        (again,) = messages_of(boss.post(reverse(SYNC_NOW), follow=True))
    assert again.startswith("Nothing was queued: a full run is there.")
    assert page_url("syncrun", run.pk) in again
    assert google.object_requests == []
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.change_message) == (str(run.pk), "Started by hand.")
    drain_run(run.pk)
    assert balance_at(google, card) == 3


def test_without_a_broker_the_command_line_stands_in_for_the_button(
    boss: Client, right_cards: MakeCards
) -> None:
    """Nothing is ever carried out in the request: the page and the answer name the command."""
    right_cards(1)
    page = text_of(boss.get(list_url("syncrun")))
    assert "To sync now, run: manage.py sync_wallet_passes" in page
    (message,) = messages_of(boss.post(reverse(SYNC_NOW), follow=True))
    assert "manage.py sync_wallet_passes" in message
    assert SyncRun.objects.count() == 1
    assert not LogEntry.objects.exists()


def test_sync_now_is_for_posts_with_the_permission_alone(login: Login, db: None) -> None:
    """A link starts nothing; a viewer sees neither button nor line and is refused."""
    viewer = login("view_syncrun", "resync_walletpass")
    assert "sync now" not in text_of(viewer.get(list_url("syncrun"))).lower()
    assert viewer.post(reverse(SYNC_NOW)).status_code == 403
    assert viewer.get(reverse(SYNC_NOW)).status_code == 405
    assert not SyncRun.objects.exists()


def test_queued_run_is_cancelled_at_once(boss: Client, right_cards: MakeCards) -> None:
    """A worker that comes for it later finds that it has ended; what it was about stays due."""
    (card,) = right_cards(1)
    run = queue_wallet_sync(Selection.of_cards([card.key]), trigger="admin")
    answer = ask(boss, list_url("syncrun"), [run.pk], action="cancel_runs")
    assert answer.status_code == 302
    run.refresh_from_db()
    assert (run.status, run.error) == ("interrupted", "Cancelled before it began.")
    assert LogEntry.objects.get().change_message == "Told to stop."
    drain_run(run.pk)
    assert SyncRun.objects.get(pk=run.pk).status == "interrupted"
    assert WalletPass.objects.due().count() == 1


def test_running_run_is_told_to_stop(boss: Client) -> None:
    """The engine looks at the mark; the page says that the run has been told, and asks no more."""
    now = timezone.now()
    run = SyncRun.objects.create(status="running", started_at=now, heartbeat_at=now)
    assert "Cancel this run" in text_of(boss.get(page_url("syncrun", run.pk)))
    ask(boss, list_url("syncrun"), [run.pk], action="cancel_runs")
    run.refresh_from_db()
    assert run.status == "running"
    assert run.cancel_requested_at is not None
    page = text_of(boss.get(page_url("syncrun", run.pk)))
    assert "told to stop" in page
    assert "Cancel this run" not in page


def test_run_that_begins_while_it_is_cancelled_knows(boss: Client, right_cards: MakeCards) -> None:
    """A worker that read the run just before it was cancelled does not wipe the order out."""
    (card,) = right_cards(1)
    read_before = queue_wallet_sync(Selection.of_cards([card.key]), trigger="admin")
    ask(boss, list_url("syncrun"), [read_before.pk], action="cancel_runs")
    sync_wallet_passes(run=read_before)
    assert SyncRun.objects.get(pk=read_before.pk).cancel_requested_at is not None


def test_cancelling_what_has_ended_changes_nothing(boss: Client, right_cards: MakeCards) -> None:
    """A finished run is left as it is, and nothing is logged."""
    right_cards(1)
    run = SyncRun.objects.get()
    answer = boss.post(
        list_url("syncrun"), {"action": "cancel_runs", "_selected_action": [run.pk]}, follow=True
    )
    assert messages_of(answer) == [
        "Nothing to cancel: only a queued or running run can be stopped."
    ]
    run.refresh_from_db()
    assert run.status == "succeeded"
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("action", ["resync_cards", "cancel_runs", "export_failures"])
def test_viewer_may_not_act_on_runs(login: Login, db: None, action: str) -> None:
    """An action without its permission is not offered, and a posted one does nothing."""
    run = SyncRun.objects.create(status="queued")
    viewer = login("view_syncrun")
    for url in (list_url("syncrun"), page_url("syncrun", run.pk)):
        page = viewer.get(url).content.decode()
        assert action not in page
    answer = ask(viewer, list_url("syncrun"), [run.pk], action=action)
    assert answer.status_code in (200, 302)
    assert "attachment" not in answer.headers.get("Content-Disposition", "")
    run.refresh_from_db()
    assert (run.status, run.cancel_requested_at) == ("queued", None)
    assert not LogEntry.objects.exists()


def test_progress_tells_done_failed_and_left(boss: Client, make_cards: MakeCards) -> None:
    """A run that is going says how many passes it has done and how many wait for it."""
    make_cards(3)
    now = timezone.now()
    run = SyncRun.objects.create(
        status="running", started_at=now, heartbeat_at=now, selection={"kind": "due"}
    )
    SyncBatch.objects.create(
        run=run, worker="w", wallet="google", counts={"updated": 8, "failed": 1, "attempts": 12}
    )
    state = _progress(boss, run).json()
    assert state["is_over"] is False
    assert state["status"] == "running"
    assert state["percent"] == 75
    assert state["text"].startswith("9 passes done, 1 failed, 3 left, about 1 s to go")
    page = boss.get(page_url("syncrun", run.pk)).content.decode()
    assert reverse("admin:loyalty_wallet_syncrun_progress", args=[run.pk]) in page
    assert '<progress max="100" aria-labelledby="lw-progress" value="75">' in page
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in page


def test_pass_that_the_run_failed_is_not_left(boss: Client, make_cards: MakeCards) -> None:
    """What a run has tried in vain stays due, but no longer waits for this run."""
    make_cards(2)
    run = SyncRun.objects.create(status="running", selection={"kind": "due"})
    failed = WalletPass.objects.all()[0]
    WalletPass.objects.filter(pk=failed.pk).update(last_run=run, last_code="rejected")
    SyncBatch.objects.create(run=run, worker="w", wallet="google", counts={"failed": 1})
    assert _progress(boss, run).json()["text"].startswith("1 pass done, 1 failed, 1 left")


def test_progress_of_a_finished_run_ends_the_watch(boss: Client, right_cards: MakeCards) -> None:
    """The script is told that it is over, and the page of a finished run has no script at all."""
    right_cards(1)
    run = SyncRun.objects.get()
    assert _progress(boss, run).json()["is_over"] is True
    page = boss.get(page_url("syncrun", run.pk)).content.decode()
    assert "progress.js" not in page
    assert "http-equiv" not in page


@pytest.mark.parametrize("selection", [{"kind": "odd"}, {"kind": "since", "since": "2026-01-01"}])
def test_progress_without_a_known_rest(boss: Client, selection: dict[str, str]) -> None:
    """Where the rest cannot be told, or not cheaply, no share is made up."""
    run = SyncRun.objects.create(status="running", selection=selection)
    state = _progress(boss, run).json()
    assert state["percent"] is None
    assert state["text"] == "0 passes done, 0 failed"


def test_progress_needs_the_view_permission(login: Login, db: None) -> None:
    """Staff without it learn nothing of a run; a run that is not there is not found."""
    run = SyncRun.objects.create(status="running")
    assert _progress(login(), run).status_code == 403
    run.pk = 10**6
    assert _progress(Client(), run).status_code == 302
