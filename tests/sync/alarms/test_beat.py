"""Alarms where there is Celery: the minute's task looks for them, and beat tells when a run is due."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django_celery_beat.models import CrontabSchedule, PeriodicTask
from pytest_django import DjangoAssertNumQueries

from loyalty_wallet.models import LoyaltyCard, SyncRun
from loyalty_wallet.schedule import install_schedule
from loyalty_wallet.sync import Selection, sync_wallet_passes
from loyalty_wallet.sync.alarms.alerts import check_alarms, last_success
from loyalty_wallet.tasks import resume_wallet_sync

from .judging import ended, move_end, open_codes

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db(transaction=True)


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


def test_the_interval_of_the_schedule_is_that_of_beat(right_cards: MakeCards) -> None:
    """Who has beat sync every six hours needs no setting; a disabled entry tells nothing."""
    right_cards(1)
    move_end(SyncRun.objects.get(), timedelta(hours=11))
    entry, _ = install_schedule()
    CrontabSchedule.objects.filter(pk=entry.crontab_id).update(hour="*/6")
    assert check_alarms() == []
    PeriodicTask.objects.update(enabled=False)
    assert [alert.code for alert in check_alarms()] == ["no_recent_success"]


def test_checking_costs_a_few_reads(
    right_cards: MakeCards, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    """Every minute for a year: nothing is written while nothing changes."""
    right_cards(3)
    with django_assert_num_queries(8) as queries:
        check_alarms()
    writes = ("INSERT", "UPDATE", "DELETE")
    assert not any(query["sql"].startswith(writes) for query in queries.captured_queries)
