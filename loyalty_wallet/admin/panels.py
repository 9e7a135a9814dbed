"""What the pages show beside fields, read in a fixed number of queries."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.contrib.admin.utils import quote
from django.urls import reverse
from django.utils.translation import gettext as _

from ..models import SyncFailure, WalletPass
from ..sync.explaining.explanation import Verdict, explain_truth, last_failure, verdict_on
from ..sync.explaining.timeline import Device, Step, devices_of, timeline_of
from ..sync.explaining.truth import FieldTruth, Truth, truths_of
from .words import (
    BAD,
    GOOD,
    IDLE,
    NOTHING,
    WAITING,
    badge,
    link,
    pass_status,
    remedy,
    run_link,
    when,
)

MOST_FAILURES = 20
MOST_DEVICES = 10


def card_passes(card_key: str) -> list[dict[str, Any]]:
    """Return one panel for each pass of a card; a card has one in each wallet at most."""
    return pass_panels(card_key, list(WalletPass.objects.for_cards([card_key]).order_by("wallet")))


def pass_panels(card_key: str, passes: Sequence[WalletPass]) -> list[dict[str, Any]]:
    """Return what the phone should show, what it was given, and how far the change has come."""
    devices = devices_of(passes)
    truths = truths_of(card_key, passes)
    return [_pass_panel(truth, devices.get(truth.row.pk, [])) for truth in truths]


def failure_rows(failures: Any) -> list[dict[str, Any]]:
    """Return the first of these failures for a table, with what to do about each."""
    rows = failures.select_related("wallet_pass").defer("wallet_pass__payload")
    return [_failure_row(row) for row in rows[:MOST_FAILURES]]


def pretty(payload: Any) -> str:
    """Return a payload for people to read."""
    return json.dumps(payload, indent=2, ensure_ascii=False, sort_keys=True) if payload else ""


def _pass_panel(truth: Truth, devices: list[Device]) -> dict[str, Any]:
    row = truth.row
    verdict = verdict_on(truth, devices)
    failure = last_failure(row) if row.last_code else None
    return {
        "row": row,
        "url": reverse("admin:loyalty_wallet_walletpass_change", args=[quote(row.pk)]),
        "sync_url": reverse("admin:loyalty_wallet_walletpass_sync", args=[quote(row.pk)]),
        "status": pass_status(row),
        "verdict": _verdict(verdict, row),
        "is_right": verdict is Verdict.RIGHT,
        "explanation": explain_truth(truth, devices, failure),
        "delivered": when(row.synced_at),
        "steps": [_step(step) for step in timeline_of(truth, devices)],
        "presence_at": row.presence_at and when(row.presence_at, is_short=True),
        "differences": [_field(item) for item in truth.differences],
        "same": [_field(item) for item in truth.fields if item.label and not item.differs],
        "is_certain": truth.is_certain,
        "was_delivered": truth.was_delivered,
        "desired": pretty(truth.desired),
        "devices": _devices(devices) if truth.is_published else None,
    }


def _verdict(verdict: Verdict, row: WalletPass) -> Any:
    is_in_trouble = bool(row.last_code) or row.state == WalletPass.State.SET_ASIDE
    words = {
        Verdict.RIGHT: (_("right"), GOOD),
        Verdict.ON_ITS_WAY: (_("on its way"), WAITING),
        Verdict.WRONG: (_("wrong"), BAD if is_in_trouble else WAITING),
        Verdict.UNCERTAIN: (_("not certain"), BAD if is_in_trouble else WAITING),
        Verdict.NOT_SENT: (_("nothing is sent"), IDLE),
    }
    return badge(*words[verdict])


def _step(step: Step) -> dict[str, Any]:
    return {
        "name": step.name,
        "reached": step.reached.value,
        "at": when(step.at, is_short=True) if step.at else "",
        "note": step.note,
    }


def _field(item: FieldTruth) -> dict[str, Any]:
    return {
        "label": _(item.label) if item.label else "",
        "path": item.path,
        "desired": _value(item.desired),
        "delivered": _value(item.delivered),
    }


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return NOTHING if value is None else str(value)


def _devices(devices: Sequence[Device]) -> dict[str, Any]:
    fetched = [device.last_fetched_at for device in devices if device.last_fetched_at]
    return {
        "count": len(devices),
        "fetched": when(max(fetched, default=None)),
        "rows": [
            {
                "row": device,
                "registered": when(device.created_at, is_short=True),
                "pushed": when(device.last_pushed_at, is_short=True),
                "listed": when(device.last_listed_at, is_short=True),
                "fetched": when(device.last_fetched_at, is_short=True),
                "behind": when(device.news_since, is_short=True),
            }
            for device in devices[:MOST_DEVICES]
        ],
        "more": max(0, len(devices) - MOST_DEVICES),
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
