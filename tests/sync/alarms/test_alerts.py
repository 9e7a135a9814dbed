"""Alarms: raised once, open until a later measurement is fine, told to whoever wants to know."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError
from datetime import timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
from django import VERSION
from django.core import mail
from django.db import connection, transaction
from django.dispatch import Signal
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, PeriodicTask
from pytest_django import DjangoAssertNumQueries, Settings

from loyalty_wallet import signals
from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, SyncAlert, SyncRun, WalletPass
from loyalty_wallet.schedule import install_schedule
from loyalty_wallet.sync import Selection, SyncReport, sync_wallet_passes
from loyalty_wallet.sync.alarms.alerts import check_alarms, judge_run, last_success
from loyalty_wallet.sync.alarms.notices import Alert, describe_alert, describe_span
from loyalty_wallet.tasks import resume_wallet_sync
from tests.shopfront import Configure

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db(transaction=True)

handled: list[Alert] = []


def keep(alert: Alert) -> None:
    """An alert handler, as a project would write one."""
    handled.append(alert)


def break_down(alert: Alert) -> None:
    raise RuntimeError("The pager is broken.")


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    handled.clear()


@pytest.fixture
def listen() -> Iterator[Callable[[Signal], list[dict[str, Any]]]]:
    """Connect to a signal; what is returned fills with the arguments of its receivers."""
    connected = []

    def to(signal: Signal) -> list[dict[str, Any]]:
        heard: list[dict[str, Any]] = []

        def receive(**arguments: Any) -> None:
            arguments.pop("signal")
            heard.append({**arguments, "in_transaction": connection.in_atomic_block})

        signal.connect(receive, weak=False)
        connected.append((signal, receive))
        return heard

    yield to
    for signal, receive in connected:
        signal.disconnect(receive)


def ended(
    *, selected: int = 100, failed: int = 0, left: int = 0, seconds: float = 1, **fields: Any
) -> SyncRun:
    """Put a run on record that has ended so."""
    now = timezone.now()
    fields = {"selection": Selection().as_json(), "status": "partial", **fields}
    counts = {"synced": selected - failed - left, "unchanged": 0, "deferred": 0}
    return SyncRun.objects.create(
        started_at=now - timedelta(seconds=seconds),
        finished_at=now,
        card_counts={"selected": selected, "failed": failed, "left": left, **counts},
        **fields,
    )


def judge(run: SyncRun, *, is_limited: bool = False) -> list[str]:
    """Judge the run; return the codes of the alarms that are open then."""
    judge_run(run, SyncReport.of_run(run), is_limited=is_limited)
    return open_codes()


def open_codes() -> list[str]:
    return sorted(SyncAlert.objects.open().values_list("code", flat=True))


@pytest.mark.parametrize(
    ("run", "codes"),
    [
        ({"selected": 400, "failed": 20}, ["failed_cards"]),
        ({"selected": 400, "failed": 21}, ["failed_cards", "failure_rate"]),
        ({"selected": 1000, "failed": 10}, []),
        ({"selected": 1000, "failed": 11}, ["failed_cards"]),
        ({"seconds": 29.9}, []),
        ({"seconds": 30.0}, []),
        ({"seconds": 30.1}, ["duration"]),
        ({"selected": 0}, []),
    ],
)
def test_only_above_its_threshold(run: dict[str, Any], codes: list[str]) -> None:
    """Cases 47 to 50: 5 %, 10 cards and 30 s are fine, more are not; no card is no division."""
    assert judge(ended(**run)) == codes


def test_it_is_raised_once_until_the_state_changes(
    caplog: pytest.LogCaptureFixture, listen: Callable[[Signal], list[dict[str, Any]]]
) -> None:
    """Three bad runs, a good one, a bad one: raised, resolved and raised again, each told once."""
    raised, resolved = listen(signals.alert_raised), listen(signals.alert_resolved)
    first = ended(failed=6)
    for run in (first, ended(failed=9), ended(failed=7)):
        judge(run)
    assert [entry["alert"].run_id for entry in raised] == [first.pk]
    (row,) = SyncAlert.objects.all()
    assert (row.code, row.run, row.value, row.threshold) == ("failure_rate", first, 0.07, 0.05)

    assert judge(ended(failed=5)) == []
    assert [entry["alert"].value for entry in resolved] == [0.05]
    assert resolved[0]["alert"].is_resolved

    judge(ended(failed=6))
    assert [entry["alert"].code for entry in raised] == ["failure_rate"] * 2
    levels = [record.levelno for record in caplog.records if record.name == "loyalty_wallet"]
    assert levels == [logging.ERROR, logging.INFO, logging.ERROR]
    assert not any(entry["in_transaction"] for entry in raised + resolved)


def test_the_log_record_can_be_searched(caplog: pytest.LogCaptureFixture) -> None:
    """One ERROR of the logger `loyalty_wallet` with everything in fields of its own."""
    run = ended(selected=1000, failed=11)
    judge(run)
    (record,) = [record for record in caplog.records if record.name == "loyalty_wallet"]
    assert record.levelno == logging.ERROR
    fields = {name: getattr(record, name) for name in ("code", "value", "threshold", "run_id")}
    assert fields == {"code": "failed_cards", "value": 11, "threshold": 10, "run_id": run.pk}
    assert "11 cards failed (limit 10)." in record.message


@pytest.mark.parametrize(
    ("selection", "is_limited"),
    [
        (Selection.of_cards(["1", "2", "3"]), False),
        (Selection.of_failed(), False),
        (Selection.of_run(1), False),
        (Selection.of_changes_since(timezone.now()), False),
        (Selection().narrowed(program="coffee"), False),
        (Selection().narrowed(wallet="google"), False),
        (Selection(), True),
    ],
)
def test_a_part_says_nothing_of_the_whole(selection: Selection, is_limited: bool) -> None:
    """A re-sync of some cards neither raises an alarm nor resolves the one of a full run."""
    stored = selection.as_json()
    assert judge(ended(failed=100, selection=stored), is_limited=is_limited) == []
    judge(ended(failed=6))
    assert judge(ended(failed=0, selection=stored), is_limited=is_limited) == ["failure_rate"]


def test_a_run_that_left_cards_behind_resolves_nothing() -> None:
    """It does not know how the rest would have gone; what it saw is bad enough to raise, though."""
    judge(ended(failed=6))
    assert judge(ended(failed=0, left=50)) == ["failure_rate"]
    assert judge(ended(failed=0, left=50, seconds=31)) == ["duration", "failure_rate"]


def test_no_recent_success_is_noticed_while_nothing_runs(right_cards: MakeCards) -> None:
    """Two intervals without a success: the minute's task raises it, the next success resolves it."""
    right_cards(1)
    success = SyncRun.objects.get()
    ended(status="failed")
    ended(status="succeeded", selection=Selection.of_cards(["1"]).as_json())
    assert last_success() == success.finished_at

    move_end(success, timedelta(hours=1, minutes=59))
    resume_wallet_sync()
    assert open_codes() == []
    move_end(success, timedelta(minutes=2))
    resume_wallet_sync()
    assert open_codes() == ["no_recent_success"]

    sync_wallet_passes()
    assert open_codes() == []


def move_end(run: SyncRun, back: timedelta) -> None:
    run.finished_at = (run.finished_at or timezone.now()) - back
    run.save()


def test_the_interval_of_the_schedule_is_a_setting(
    right_cards: MakeCards, configure: Configure
) -> None:
    """Who syncs once a day is not woken after two hours."""
    right_cards(1)
    move_end(SyncRun.objects.get(), timedelta(hours=47))
    assert [alert.code for alert in check_alarms()] == ["no_recent_success"]
    configure(RUN_INTERVAL=timedelta(days=1))
    assert check_alarms() == []


def test_the_interval_of_the_schedule_is_that_of_beat(right_cards: MakeCards) -> None:
    """Who has beat sync every six hours needs no setting; a disabled entry tells nothing."""
    right_cards(1)
    move_end(SyncRun.objects.get(), timedelta(hours=11))
    entry, _ = install_schedule()
    CrontabSchedule.objects.filter(pk=entry.crontab_id).update(hour="*/6")
    assert check_alarms() == []
    PeriodicTask.objects.update(enabled=False)
    assert [alert.code for alert in check_alarms()] == ["no_recent_success"]


def test_a_schedule_that_never_ran_is_missed_since_the_first_pass(make_cards: MakeCards) -> None:
    """An installation without cards waits in silence; with cards it misses its first run."""
    assert check_alarms() == []
    make_cards(1)
    assert check_alarms() == []
    created_at = timezone.now() - timedelta(hours=3)
    WalletPass.objects.update(created_at=created_at, due_at=None)
    (alert,) = check_alarms()
    assert alert.code == "no_recent_success"
    assert alert.value == pytest.approx(3 * 3600, abs=60)
    assert alert.run_id is None


def test_a_card_that_stays_wrong_is_an_alarm(
    right_cards: MakeCards, google: GoogleEmulator
) -> None:
    """Older than two hours, in a configured wallet, not set aside; resolved by its delivery."""
    (card,) = right_cards(1)
    card.record("earn", points=1)
    assert check_alarms() == []
    WalletPass.objects.update(due_at=timezone.now() - timedelta(hours=2, minutes=1))
    (alert,) = check_alarms()
    assert (alert.code, alert.threshold) == ("oldest_due", 7200)
    assert alert.sentence == "A card has been wrong for 2 h 1 min (limit 2 h)."

    WalletPass.objects.update(state=WalletPass.State.SET_ASIDE)
    assert check_alarms() == []
    WalletPass.objects.update(state=WalletPass.State.ACTIVE, wallet="former")
    assert check_alarms() == []
    WalletPass.objects.update(wallet="google")
    assert len(check_alarms()) == 1

    sync_wallet_passes()
    assert check_alarms() == []
    assert SyncAlert.objects.filter(code="oldest_due").count() == 2


def test_an_open_alarm_shows_how_bad_it_is_by_now(right_cards: MakeCards) -> None:
    """It is told once, while its row keeps up."""
    (card,) = right_cards(1)
    card.record("earn", points=1)
    for hours in (3, 9):
        WalletPass.objects.update(due_at=timezone.now() - timedelta(hours=hours))
        (alert,) = check_alarms()
        assert alert.value == pytest.approx(hours * 3600, abs=60)


def test_checking_costs_a_few_reads(
    right_cards: MakeCards, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    """Every minute for a year: nothing is written while nothing changes."""
    right_cards(3)
    with django_assert_num_queries(8) as queries:
        check_alarms()
    writes = ("INSERT", "UPDATE", "DELETE")
    assert not any(query["sql"].startswith(writes) for query in queries.captured_queries)


def test_two_processes_raise_one_alarm(listen: Callable[..., list[dict[str, Any]]]) -> None:
    """The run's leader and the minute's task see it at the same time; one of them tells of it."""
    raised = listen(signals.alert_raised)
    run = ended(failed=6)
    report = SyncReport.of_run(run)
    start = Barrier(4)

    def judge_in_thread() -> None:
        start.wait()
        judge_run(run, report, is_limited=False)
        connection.close()

    threads = [Thread(target=judge_in_thread) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert open_codes() == ["failure_rate"]
    assert len(raised) == 1


def test_handlers_get_one_frozen_value(configure: Configure) -> None:
    """Each of ALERT_HANDLERS is called with the alert; one that fails keeps nobody from it."""
    configure(ALERT_HANDLERS=[f"{__name__}.break_down", "nowhere.at_all", f"{__name__}.keep"])
    run = ended(failed=6)
    judge(run)
    judge(ended())

    raised, resolved = handled
    assert (raised.code, raised.run_id, raised.is_resolved) == ("failure_rate", run.pk, False)
    assert raised.sentence == "6.0 % of the cards failed (limit 5 %)."
    assert raised.remedy
    assert (resolved.code, resolved.is_resolved, resolved.value) == ("failure_rate", True, 0)
    with pytest.raises(FrozenInstanceError):
        raised.value = 0  # type: ignore[misc]


def test_a_handler_that_fails_breaks_no_run(
    google: GoogleEmulator,
    configure: Configure,
    right_cards: MakeCards,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The run ends as it would have; the traceback is in the log."""
    configure(ALERT_HANDLERS=[f"{__name__}.break_down"], ALERT_FAILED_CARDS=0)
    (card,) = right_cards(1)
    card.record("earn", points=5)
    google.fail(object_id=card.google_object_id, status=400)

    report = sync_wallet_passes()

    assert report.status == "failed"
    assert SyncRun.objects.latest("pk").status == "failed"
    assert open_codes() == ["failed_cards", "failure_rate"]
    assert "The pager is broken." in caplog.text


def test_admins_get_a_mail_where_that_is_asked_for(
    configure: Configure, settings: Settings
) -> None:
    """One when it begins, one when it is over; none by default."""
    # Django 6.0 takes addresses, earlier ones took pairs.
    settings.ADMINS = ["ops@example.com"] if VERSION >= (6,) else [("Ops", "ops@example.com")]
    judge(ended(failed=6))
    judge(ended())
    assert mail.outbox == []

    configure(ALERT_MAIL=True)
    run = ended(failed=6)
    judge(run)
    judge(ended())

    begun, over = mail.outbox
    assert begun.subject.endswith("Wallet sync: 6.0 % of the cards failed (limit 5 %).")
    assert f"Run {run.pk}" in begun.body
    assert "one cause has most of them" in begun.body
    assert "resolved" in over.subject


def test_a_transaction_that_is_rolled_back_tells_nobody(configure: Configure) -> None:
    """An alarm that is not on record has not been raised."""
    configure(ALERT_HANDLERS=[f"{__name__}.keep"])
    with transaction.atomic():
        judge(ended(failed=6))
        assert handled == []
        transaction.set_rollback(True)
    assert handled == []


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (30.06, "30.1 s"),
        (42.0, "42 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (7200, "2 h"),
        (7500, "2 h 5 min"),
        (273_600, "3 d 4 h"),
        (86_400 * 5 + 60, "5 d"),
    ],
)
def test_lengths_are_told_in_two_units(seconds: float, words: str) -> None:
    """Nobody divides by 3,600 at three in the morning."""
    assert describe_span(seconds) == words


def test_each_alarm_has_its_sentence() -> None:
    """With what was measured and what the limit is."""
    assert describe_alert("duration", 42.3, 30) == "The run took 42.3 s (limit 30 s)."
    assert describe_alert("failed_cards", 1, 0) == "1 card failed (limit 0)."
    assert (
        describe_alert("no_recent_success", 9000, 7200)
        == "No sync has succeeded for 2 h 30 min (limit 2 h)."
    )
    assert describe_alert("of_a_newer_version", 1, 0) == "of_a_newer_version: 1 (limit 0)."
