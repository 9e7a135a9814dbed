"""How alarms are told: to the log, to handlers, by mail, in plain words."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError

import pytest
from django import VERSION
from django.core import mail
from django.db import transaction
from pytest_django import Settings

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, SyncRun
from loyalty_wallet.sync import sync_wallet_passes
from loyalty_wallet.sync.alarms.notices import Alert, describe_alert, describe_span
from tests.shopfront import Configure

from .judging import ended, judge, open_codes

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


def test_the_log_record_can_be_searched(caplog: pytest.LogCaptureFixture) -> None:
    """One ERROR of the logger `loyalty_wallet` with everything in fields of its own."""
    run = ended(selected=1000, failed=11)
    judge(run)
    (record,) = [record for record in caplog.records if record.name == "loyalty_wallet"]
    assert record.levelno == logging.ERROR
    fields = {name: getattr(record, name) for name in ("code", "value", "threshold", "run_id")}
    assert fields == {"code": "failed_cards", "value": 11, "threshold": 10, "run_id": run.pk}
    assert "11 cards failed (limit 10)." in record.message


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
