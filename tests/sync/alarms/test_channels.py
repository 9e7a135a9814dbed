"""Whoever could not be told of an alarm is told later, and nobody is told twice for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest
from django import VERSION
from django.core import mail
from django.utils import timezone
from pytest_django import Settings

from loyalty_wallet.models import LoyaltyCard, SyncAlert, WalletPass
from loyalty_wallet.sync.alarms import Alert, alerts, check_alarms
from loyalty_wallet.sync.alarms.channels import AGAIN_AFTER, GIVE_UP_AFTER
from tests.shopfront import Configure

from .judging import at_once

MakeCards = Callable[[int], list[LoyaltyCard]]
Handlers = Callable[..., None]

pytestmark = pytest.mark.django_db(transaction=True)

heard: list[tuple[str, bool]] = []
is_broken = False


def listen(alert: Alert) -> None:
    heard.append((alert.code, alert.is_resolved))


def waver(alert: Alert) -> None:
    """A pager that is out of order now and then."""
    if is_broken:
        raise ConnectionError("The pager is out of order.")
    listen(alert)


def break_pager(*, broken: bool = True) -> None:
    global is_broken
    is_broken = broken


@pytest.fixture(autouse=True)
def _calm() -> Iterator[None]:
    yield
    heard.clear()
    break_pager(broken=False)


@pytest.fixture
def handlers(configure: Configure) -> Handlers:
    """Set who handles alarms, by their names here."""

    def set_to(*functions: Callable[[Alert], None], **conf: object) -> None:
        configure(ALERT_HANDLERS=[f"{__name__}.{one.__name__}" for one in functions], **conf)

    return set_to


@pytest.fixture
def late_card(right_cards: MakeCards) -> LoyaltyCard:
    """A card that has been wrong for longer than an alarm takes."""
    (card,) = right_cards(1)
    card.record("earn", points=1)
    WalletPass.objects.update(due_at=timezone.now() - timedelta(hours=3))
    return card


def move_on(span: timedelta = AGAIN_AFTER) -> None:
    """Let so much time have passed since what is on record of alarms."""
    for row in SyncAlert.objects.all():
        for field in ("raised_at", "resolved_at", "tell_again_at"):
            moment: datetime | None = getattr(row, field)
            setattr(row, field, moment and moment - span)
        row.save()


@pytest.mark.usefixtures("late_card")
def test_only_who_missed_it_is_told_again(handlers: Handlers) -> None:
    """Every two minutes, until it works; whoever knows is left in peace."""
    handlers(waver, listen)
    break_pager()
    check_alarms()
    assert heard == [("oldest_due", False)]
    assert SyncAlert.objects.get().untold == [f"{__name__}.waver"]

    check_alarms()
    move_on()
    check_alarms()
    assert len(heard) == 1

    break_pager(broken=False)
    check_alarms()
    assert len(heard) == 1, "It was tried a moment ago."
    move_on()
    check_alarms()
    assert heard == [("oldest_due", False)] * 2

    move_on()
    check_alarms()
    assert len(heard) == 2
    assert SyncAlert.objects.get().tell_again_at is None


@pytest.mark.usefixtures("late_card")
def test_a_process_that_dies_before_it_told_is_made_up_for(
    handlers: Handlers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The alarm is on record, and so is that nobody knows of it."""
    handlers(listen)
    with monkeypatch.context() as dying:
        dying.setattr(alerts, "tell", lambda *_args: None)
        check_alarms()
    check_alarms()
    assert heard == [], "Whoever raised it may be telling at this moment."

    move_on()
    check_alarms()
    assert heard == [("oldest_due", False)]
    assert "alert=oldest_due state=raised" in caplog.text


@pytest.mark.usefixtures("late_card")
def test_a_mail_server_that_was_away_brings_it_later(
    handlers: Handlers, settings: Settings
) -> None:
    """As one mail, in the same words."""
    # Django 6.0 takes addresses, earlier ones took pairs.
    settings.ADMINS = ["ops@example.com"] if VERSION >= (6,) else [("Ops", "ops@example.com")]
    handlers(ALERT_MAIL=True)
    working = settings.EMAIL_BACKEND
    settings.EMAIL_BACKEND = "nowhere.Backend"
    check_alarms()
    assert SyncAlert.objects.get().untold == ["mail"]

    settings.EMAIL_BACKEND = working
    for _ in range(2):
        move_on()
        check_alarms()
    (message,) = mail.outbox
    assert "A card has been wrong for 3 h" in message.subject


def test_of_an_alarm_that_is_over_only_the_end_is_told(
    handlers: Handlers, late_card: LoyaltyCard
) -> None:
    """Nobody is woken for what has passed."""
    handlers(waver)
    break_pager()
    check_alarms()
    WalletPass.objects.update(due_at=timezone.now())
    check_alarms()
    assert SyncAlert.objects.get().resolved_at is not None

    break_pager(broken=False)
    move_on()
    check_alarms()
    assert heard == [("oldest_due", True)]


@pytest.mark.usefixtures("late_card")
def test_it_gives_up_after_a_day(handlers: Handlers, caplog: pytest.LogCaptureFixture) -> None:
    """A handler that never works is no load for ever, and the log says whom nobody told."""
    handlers(waver)
    break_pager()
    check_alarms()
    assert f"{__name__}.waver could not be told of the alert oldest_due." in caplog.text
    caplog.clear()
    move_on(GIVE_UP_AFTER)
    check_alarms()
    assert f"No longer told of the alert oldest_due: {__name__}.waver" in caplog.text

    break_pager(broken=False)
    move_on()
    check_alarms()
    assert heard == []


@pytest.mark.usefixtures("late_card")
def test_a_handler_that_is_no_longer_asked_for_is_forgotten(handlers: Handlers) -> None:
    """The settings of now decide."""
    handlers(waver)
    break_pager()
    check_alarms()
    handlers()
    move_on()
    check_alarms()
    assert SyncAlert.objects.get().tell_again_at is None


@pytest.mark.usefixtures("late_card")
def test_two_processes_tell_it_again_once(handlers: Handlers) -> None:
    """Whichever is first puts the others off."""
    handlers(waver)
    break_pager()
    check_alarms()
    break_pager(broken=False)
    move_on()
    at_once(check_alarms)
    assert heard == [("oldest_due", False)]
