"""One report from four doors: whichever a person or a machine comes in by, it reads the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import jsonschema
import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.emulator.apple import ApnsEmulator
from loyalty_wallet.models import (
    AppleDevice,
    LoyaltyCard,
    LoyaltyProgram,
    LoyaltyTransaction,
    SyncAlert,
    SyncRun,
    SyncState,
    WalletPass,
    WalletProgram,
)
from loyalty_wallet.sync import Selection, SyncReport, sync_wallet_passes, touch
from loyalty_wallet.sync.report import report_schema
from loyalty_wallet.tasks import drain_run
from loyalty_wallet.tasks import sync_wallet_passes as task
from tests.admin.pages import resync
from tests.admin.test_broker import broker
from tests.phonefront import apns, authority, configure_apple, register
from tests.shopfront import configure, google, program

__all__ = ["apns", "authority", "configure", "configure_apple", "google", "program"]

pytestmark = pytest.mark.django_db(transaction=True)

Report = dict[str, Any]
Door = Callable[[list[LoyaltyCard]], Report]

OWN = ("run_id", "trigger", "started_at", "finished_at", "duration_seconds")
"""What of a report belongs to the one run."""


@pytest.fixture
def make_world(
    google: GoogleEmulator,
    apns: ApnsEmulator,
    configure_apple: Callable[..., None],
    program: LoyaltyProgram,
) -> Callable[[], list[LoyaltyCard]]:
    """Make the same world again: eight cards with the same keys, and the same things go wrong."""

    def make() -> list[LoyaltyCard]:
        google.heal()
        apns.heal()
        for model in (SyncRun, SyncAlert, SyncState, WalletPass, WalletProgram, AppleDevice):
            model._default_manager.all().delete()
        LoyaltyTransaction.objects.all().delete()
        LoyaltyCard.objects.all().delete()
        cards = LoyaltyCard.objects.bulk_create(
            LoyaltyCard(pk=number, program=program, card_number=f"C{number}")
            for number in range(4001, 4009)
        )
        touch(card.key for card in cards)
        assert sync_wallet_passes().status == "succeeded"
        SyncRun.objects.all().delete()
        refused, down, flaky, unshowable, pushless, fine, *_ = cards
        for card in (refused, down, flaky, pushless, fine):
            card.record("earn", points=5)
        unshowable.record("earn", points=2**40)
        google.fail(object_id=refused.google_object_id, status=400, message="Bad colour.")
        google.fail(object_id=down.google_object_id, status=503)
        google.fail(object_id=flaky.google_object_id, status=503, times=2)
        (phone,) = register(pushless)
        apns.fail(phone.device.push_token, "payload_too_large")
        register(fine)
        return cards

    return make


def keys_of(cards: list[LoyaltyCard]) -> list[str]:
    return [card.key for card in cards]


def python_full(cards: list[LoyaltyCard]) -> Report:
    return sync_wallet_passes().as_dict()


def python_cards(cards: list[LoyaltyCard]) -> Report:
    return sync_wallet_passes(selection=Selection.of_cards(keys_of(cards))).as_dict()


def command(*args: str) -> Report:
    stdout = StringIO()
    with pytest.raises(CommandError) as ended:
        call_command("sync_wallet_passes", "--json", *args, stdout=stdout, stderr=StringIO())
    assert ended.value.returncode == 1
    printed: Report = json.loads(stdout.getvalue())
    return printed


def command_full(cards: list[LoyaltyCard]) -> Report:
    return command()


def command_cards(cards: list[LoyaltyCard]) -> Report:
    return command("--card", *keys_of(cards))


def task_full(cards: list[LoyaltyCard]) -> Report:
    result: Report = json.loads(json.dumps(task.apply().get()))
    return result


def admin_full(cards: list[LoyaltyCard]) -> Report:
    """The button of the list of runs, and the worker that it wakes."""
    return _by_admin(
        lambda client: client.post(reverse("admin:loyalty_wallet_syncrun_sync_now"), follow=True)
    )


def admin_cards(cards: list[LoyaltyCard]) -> Report:
    """The action on selected cards, its confirmation, and the worker that it wakes."""
    return _by_admin(lambda client: resync(client, "loyaltycard", [card.pk for card in cards]))


def _by_admin(ask: Callable[[Client], object]) -> Report:
    boss, _ = User.objects.get_or_create(username="boss", is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(boss)
    with broker("memory://loyalty-wallet-four-doors"):
        ask(client)
    run = SyncRun.objects.get()
    assert run.status == "queued"
    drain_run(run.pk)
    run.refresh_from_db()
    return SyncReport.of_run(run).as_dict()


def without_its_own(report: Report) -> Report:
    """Leave out what belongs to one run; the order in which cards failed means nothing."""
    kept = {name: value for name, value in report.items() if name not in OWN}
    kept["failures"] = sorted(kept["failures"], key=lambda row: (row["card_id"], row["wallet"]))
    return kept


@pytest.mark.parametrize(
    "doors",
    [
        {"api": python_full, "command": command_full, "schedule": task_full, "admin": admin_full},
        {"api": python_cards, "command": command_cards, "admin": admin_cards},
    ],
    ids=["everything due", "some cards"],
)
def test_each_door_gives_the_same_report(
    make_world: Callable[[], list[LoyaltyCard]], doors: dict[str, Door]
) -> None:
    """The same faults: equal counts, failures, rate and alerts, in the one published form."""
    reports = {trigger: door(make_world()) for trigger, door in doors.items()}

    for trigger, report in reports.items():
        jsonschema.validate(report, report_schema())
        assert report["trigger"] == trigger
        assert report["run_id"] is not None
    first, *others = (without_its_own(report) for report in reports.values())
    for other in others:
        assert other == first
    assert first["status"] == "partial"
    assert first["cards"] == {
        "selected": 8,
        "synced": 2,
        "unchanged": 2,
        "failed": 4,
        "deferred": 0,
        "left": 0,
    }
    assert first["failed_card_ids"] == ["4001", "4002", "4004", "4005"]
    assert [(row["card_id"], row["wallet"], row["code"]) for row in first["failures"]] == [
        ("4001", "google", "rejected"),
        ("4002", "google", "unavailable"),
        ("4004", "google", "invalid_card"),
        ("4005", "apple", "push_refused"),
    ]
    assert [row["attempts"] for row in first["failures"]] == [1, 4, 0, 1]
    assert first["failure_rate"] == 0.5
    assert [alert["code"] for alert in first["alerts"]] == ["failure_rate"]
