"""What the status says is wrong, from the tables alone, and how bad that is."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NoReturn

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask
from pytest_django import Settings

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.emulator.apple import Authority
from loyalty_wallet.models import LoyaltyCard, SyncAlert, SyncRun, WalletPass, WalletProbe
from loyalty_wallet.monitoring.problems import Level
from loyalty_wallet.monitoring.status import Status, read_status
from loyalty_wallet.schedule import install_schedule
from loyalty_wallet.sync import Selection, sync_wallet_passes
from loyalty_wallet.sync.alarms.beat import TASK
from tests.shopfront import Configure

pytestmark = pytest.mark.django_db(transaction=True)

MakeCards = Callable[[int], list[LoyaltyCard]]

HOUR = timedelta(hours=1)


def codes(status: Status) -> list[str]:
    return [problem.code for problem in status.problems]


def make_older(age: timedelta) -> None:
    """Let everything that is due, and every run, be so much older."""
    WalletPass.objects.filter(due_at__isnull=False).update(due_at=timezone.now() - age)
    SyncRun.objects.update(
        started_at=timezone.now() - age, finished_at=timezone.now() - age, heartbeat_at=None
    )


def test_fresh_project_is_well(settings: Settings) -> None:
    """Nothing is configured, nothing is promised: nobody is woken."""
    settings.LOYALTY_WALLET = {}
    status = read_status()
    assert (status.level, status.wallets, codes(status)) == (Level.OK, [], [])


def test_everything_right(right_cards: MakeCards, configure_apple: Callable[..., None]) -> None:
    """After a run that came through there is nothing to say, but when that was."""
    right_cards(3)
    status = read_status()
    google, apple = status.wallets
    assert (status.level, codes(status)) == (Level.OK, [])
    assert (google.alias, google.provider, google.is_usable) == ("google", "google", True)
    assert (google.due, google.failing, google.oldest_due_at) == (0, 0, None)
    assert google.last_success_at is not None
    assert google.is_breaker_open is False
    assert (google.expires_at, apple.days_left is not None) == (None, True)
    assert status.last_success == status.last_run
    assert status.last_success_age_seconds is not None


def test_failing_card_is_counted(right_cards: MakeCards, google: GoogleEmulator) -> None:
    """What is due, what of it fails, and since when the oldest is wrong."""
    first, second, _ = right_cards(3)
    first.record("earn", points=1)
    google.fail(status=400, object_id=first.google_object_id)
    sync_wallet_passes()
    WalletPass.objects.filter(card_key=first.key).update(due_at=timezone.now() - HOUR)
    second.record("earn", points=1)
    status = read_status()
    [wallet] = status.wallets
    assert (wallet.due, wallet.failing, wallet.set_aside) == (2, 1, 0)
    assert wallet.oldest_seconds == pytest.approx(3600, abs=60)
    assert status.oldest_seconds == wallet.oldest_seconds
    assert codes(status) == ["failure_rate"]  # the run has raised the alarm


def test_card_set_aside_ages_no_more(right_cards: MakeCards) -> None:
    """It is counted apart: somebody knows of it."""
    [card] = right_cards(1)
    card.record("earn", points=1)
    WalletPass.objects.update(
        state=WalletPass.State.SET_ASIDE, due_at=timezone.now() - timedelta(days=9)
    )
    [wallet] = read_status().wallets
    assert (wallet.due, wallet.set_aside, wallet.oldest_due_at) == (0, 1, None)


def test_no_run_came_through_and_cards_wait(right_cards: MakeCards) -> None:
    """Two intervals without a run that came through, and a card that is as old: it is down."""
    [card] = right_cards(1)
    card.record("earn", points=1)
    make_older(timedelta(hours=1, minutes=50))
    assert read_status().level == Level.OK
    make_older(timedelta(hours=2, minutes=10))
    status = read_status()
    assert status.level == Level.DOWN
    assert codes(status) == ["no_recent_success", "oldest_due"]


def test_no_run_came_through_but_nothing_waits(right_cards: MakeCards) -> None:
    """The schedule has stopped, yet every phone is right: look at it, but not at night."""
    right_cards(1)
    make_older(3 * HOUR)
    assert read_status().level == Level.DEGRADED
    assert codes(read_status()) == ["no_recent_success"]


def test_run_of_one_card_is_no_sign_of_life(right_cards: MakeCards) -> None:
    """Only a run over everything says that the sync works."""
    [card] = right_cards(1)
    make_older(3 * HOUR)
    sync_wallet_passes(selection=Selection.of_cards([card.key]))
    sync_wallet_passes(selection=Selection().narrowed(wallet="google"))
    status = read_status()
    assert status.last_run is not None
    assert status.last_success != status.last_run
    assert codes(status) == ["no_recent_success"]


def test_outage_of_google(
    make_cards: MakeCards, google: GoogleEmulator, configure: Configure
) -> None:
    """The last run gave up on the provider: that is known until a run gets through."""
    configure(RETRY_DELAYS=[0, 0, 0])
    make_cards(130)
    google.fail(status=503)
    sync_wallet_passes()
    status = read_status()
    assert status.wallets[0].is_breaker_open is True
    assert "breaker_open" in codes(status)
    assert status.last_success is None
    google.heal()
    sync_wallet_passes()
    assert read_status().wallets[0].is_breaker_open is False
    assert read_status().level == Level.OK


def test_unusable_key(configure: Configure, make_cards: MakeCards) -> None:
    """With no wallet that could be delivered to, it is down at once."""
    configure(credentials="no-such-file.json")
    status = read_status()
    assert status.level == Level.DOWN
    assert codes(status) == ["no_usable_wallet", "misconfigured"]
    assert "no-such-file.json" in status.wallets[0].problem


def test_one_wallet_of_two_is_unusable(
    configure_apple: Callable[..., None], make_cards: MakeCards
) -> None:
    """The other one goes on: a wallet that cannot be built does not take it along."""
    configure_apple(push_priority=5, nonsense=1)
    google, apple = read_status().wallets
    assert google.is_usable
    assert not apple.is_usable
    assert "nonsense" in apple.problem
    assert read_status().level == Level.DEGRADED


def test_nonsense_in_the_settings(settings: Settings) -> None:
    """The status can still be read, and says that the settings cannot."""
    settings.LOYALTY_WALLET = {"WALETS": {}}
    status = read_status()
    assert status.level == Level.DOWN
    assert "WALETS" in status.settings_problem


def test_passes_of_a_wallet_that_is_gone(make_cards: MakeCards, settings: Settings) -> None:
    """Passes nobody will deliver are not silently fine."""
    make_cards(2)
    settings.LOYALTY_WALLET = {}
    status = read_status()
    [wallet] = status.wallets
    assert (wallet.alias, wallet.is_configured, wallet.due) == ("google", False, 2)
    assert codes(status)[0] == "no_usable_wallet"
    assert "not_configured" in codes(status)


@pytest.mark.parametrize(
    ("days", "expected"), [(60, []), (20, ["expires_soon"]), (-1, ["misconfigured"])]
)
def test_certificate_that_ends(
    configure_apple: Callable[..., None], authority: Authority, days: int, expected: list[str]
) -> None:
    """Its last month is announced, and its end stops the wallet; the date is shown throughout."""
    issued = authority.issue_pass_certificate(
        not_before=timezone.now() - timedelta(days=90), valid_days=90 + days
    )
    configure_apple(certificate=issued.certificate_pem, private_key=issued.private_key_pem)
    status = read_status()
    assert codes(status) == expected
    assert status.wallets[1].days_left in (days, days - 1)


def test_stalled_run(make_cards: MakeCards) -> None:
    """A run whose process died is not one that is going."""
    silent = timezone.now() - timedelta(minutes=6)
    run = SyncRun.objects.create(
        status=SyncRun.Status.RUNNING, started_at=silent, heartbeat_at=silent
    )
    status = read_status()
    assert (status.running, status.is_stalled) == (run, True)
    assert "stalled_run" in codes(status)


def test_open_alerts(configure: Configure) -> None:
    """An alert is told as long as it is open."""
    now = timezone.now()
    alert = SyncAlert.objects.create(code="duration", value=40, threshold=30, raised_at=now)
    status = read_status()
    assert list(status.alerts) == [alert]
    assert codes(status) == ["duration"]
    SyncAlert.objects.update(resolved_at=now)
    assert read_status().level == Level.OK


def test_alarms_that_nobody_heard(configure: Configure) -> None:
    """A mail server that has been away for minutes shows here, not one that is asked just now."""
    now = timezone.now()
    alert = SyncAlert.objects.create(
        code="duration", value=40, threshold=30, raised_at=now, untold=["mail"]
    )
    assert codes(read_status()) == ["duration"]
    alert.raised_at -= timedelta(minutes=3)
    alert.save()
    status = read_status()
    assert codes(status) == ["duration", "untold_alarm"]
    assert status.problems[1].text == "The alarm duration has not reached: mail."
    SyncAlert.objects.update(untold=[])
    assert codes(read_status()) == ["duration"]


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        ({"is_reachable": True, "is_authorised": True}, []),
        ({"is_reachable": None, "is_authorised": None}, []),
        ({"is_reachable": False, "is_authorised": None}, ["unreachable"]),
        ({"is_reachable": True, "is_authorised": False}, ["not_authorised"]),
    ],
)
def test_last_probe(
    configure: Configure, findings: dict[str, bool | None], expected: list[str]
) -> None:
    """What a probe has found counts; what it did not find out does not."""
    probe = WalletProbe.objects.create(wallet="google", checked_at=timezone.now(), **findings)
    status = read_status()
    assert status.wallets[0].probe == probe
    assert codes(status) == expected


def test_no_schedule() -> None:
    """Cron leaves no trace: a run is then expected as often as RUN_INTERVAL says."""
    status = read_status()
    assert (status.schedule.has_beat, status.schedule.is_installed) == (True, False)
    assert status.interval_seconds == 3600


def test_without_celery_beat(settings: Settings) -> None:
    """It is optional: what it would have told is then simply not known."""
    settings.INSTALLED_APPS = [
        name for name in settings.INSTALLED_APPS if name != "django_celery_beat"
    ]
    status = read_status()
    assert (status.schedule.has_beat, status.schedule.is_installed) == (False, False)
    assert (status.level, status.interval_seconds) == (Level.OK, 3600)


def test_hourly_schedule() -> None:
    """The entry tells how often a run is expected and when the next one is."""
    install_schedule()
    schedule = read_status().schedule
    assert (schedule.is_installed, schedule.is_enabled) == (True, True)
    assert schedule.interval_seconds == 3600
    assert schedule.next_run_at is not None
    assert schedule.next_run_at.minute == 0
    assert timedelta(0) < schedule.next_run_at - timezone.now() <= HOUR


def test_schedule_that_rests_at_night() -> None:
    """The longest pause is what may pass without a run: nobody is woken for a planned one."""
    crontab = CrontabSchedule.objects.create(minute="0", hour="8-20", timezone="Europe/Berlin")
    PeriodicTask.objects.create(name="by day", task=TASK, crontab=crontab)
    assert read_status().interval_seconds == pytest.approx(12 * 3600, abs=3600)


def test_interval_schedule() -> None:
    """An interval counts from the last run of beat's."""
    every = IntervalSchedule.objects.create(every=20, period=IntervalSchedule.MINUTES)
    ran_at = timezone.now() - timedelta(minutes=5)
    PeriodicTask.objects.create(name="often", task=TASK, interval=every, last_run_at=ran_at)
    schedule = read_status().schedule
    assert schedule.interval_seconds == 1200
    assert schedule.next_run_at == ran_at + timedelta(minutes=20)


def test_disabled_schedule() -> None:
    """What somebody has turned off is told, and promises no run."""
    install_schedule()
    PeriodicTask.objects.update(enabled=False)
    status = read_status()
    assert codes(status) == ["schedule_disabled"]
    assert (status.schedule.next_run_at, status.interval_seconds) == (None, 3600)


def test_reads_tables_only(
    right_cards: MakeCards,
    configure_apple: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No socket is opened, and a hundred passes take no more queries than one."""

    def refuse(*args: Any) -> NoReturn:
        raise AssertionError("The status has opened a socket.")

    right_cards(1)
    with CaptureQueriesContext(connection) as few:
        read_status()
    for card in right_cards(100):
        card.record("earn", points=1)
    monkeypatch.setattr(socket, "socket", refuse)
    with CaptureQueriesContext(connection) as many:
        read_status()
    assert len(many) == len(few) <= 12


def test_old_probe_says_nothing_any_more(configure: Configure) -> None:
    """An outage that somebody looked at yesterday is not one of today."""
    before = timezone.now() - timedelta(minutes=61)
    WalletProbe.objects.create(wallet="google", checked_at=before, is_reachable=False)
    status = read_status()
    assert status.level == Level.OK
    assert status.wallets[0].probe is not None


@pytest.mark.parametrize("publishing", ["under_review", "draft", "rejected"])
def test_program_that_is_not_approved(configure: Configure, publishing: str) -> None:
    """Customers cannot add its cards, and complain elsewhere first."""
    WalletProbe.objects.create(
        wallet="google",
        checked_at=timezone.now(),
        is_reachable=True,
        is_authorised=True,
        publishing=publishing,
    )
    assert codes(read_status()) == ["not_published"]
