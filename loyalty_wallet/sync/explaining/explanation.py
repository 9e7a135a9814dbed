"""Why a pass is or is not right: one honest paragraph, in the reader's language.

It says first what is known of the phone, then why, then what happens next or has to be done.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ...exceptions import failure_classes
from ...models import DatabaseNow, SyncFailure, SyncRun, WalletPass
from ..pump.jobs import JobOutcome
from .obstacles import sentences_on
from .timeline import Device, devices_of
from .truth import Obstacle, Truth, truths_of

MOST_RUNS = 5
PATIENCE = timedelta(hours=1)
"""How long a due pass may wait for the hourly run before its silence means something."""
MOST_FIELDS = 4
"""Fields that a sentence names; more are counted."""


class Verdict(StrEnum):
    """What is known of the phone, in a word."""

    RIGHT = "right"
    ON_ITS_WAY = "on_its_way"
    """What phones should fetch is on record, and not all have fetched it."""
    WRONG = "wrong"
    UNCERTAIN = "uncertain"
    """A request was sent, and no success came back."""
    NOT_SENT = "not_sent"
    """Nothing is sent to this wallet, whatever the card shows."""


def explain(row: WalletPass) -> str:
    """Return why this pass is or is not right, as everything stands now."""
    (truth,) = truths_of(row.card_key, [row])
    return explain_truth(truth, devices_of([row])[row.pk], last_failure(row))


def last_failure(row: WalletPass) -> SyncFailure | None:
    """Return the last failure of this pass that nothing has resolved."""
    failures = SyncFailure.objects.open().filter(wallet_pass=row)
    return failures.order_by("-failed_at", "-pk").first()


def verdict_on(truth: Truth, devices: Sequence[Device]) -> Verdict:
    """Return what is known of the phone."""
    if truth.is_left_alone:
        return Verdict.NOT_SENT
    if not truth.was_delivered or not truth.is_on_record:
        has_doubt = not truth.is_certain and (truth.was_delivered or truth.row.tried_at is not None)
        return Verdict.UNCERTAIN if has_doubt and not truth.differences else Verdict.WRONG
    if any(device.is_behind for device in devices):
        return Verdict.ON_ITS_WAY
    return Verdict.RIGHT if truth.is_certain else Verdict.UNCERTAIN


def explain_truth(truth: Truth, devices: Sequence[Device], failure: SyncFailure | None) -> str:
    """Do what `explain` does with what the caller has read already."""
    if truth.is_left_alone:
        return " ".join([*sentences_on(truth), *_last_delivery(truth)])
    sentences = [
        *_state_of_phone(truth, verdict_on(truth, devices)),
        *_reason(truth, failure),
        *_devices(truth, devices),
        *_customer(truth),
    ]
    return " ".join(sentences)


def is_leased(row: WalletPass) -> bool:
    """Say whether a worker holds the pass now, by the database's clock."""
    held = WalletPass.objects.filter(pk=row.pk, lease_until__gte=DatabaseNow())
    return row.lease_until is not None and held.exists()


def _last_delivery(truth: Truth) -> Iterator[str]:
    row = truth.row
    if row.state in (WalletPass.State.VOIDED, WalletPass.State.ERASED):
        return
    if row.synced_at is None or not truth.was_delivered:
        yield _("Nothing was ever delivered.")
    else:
        yield _("What it was given on %(moment)s stays on the phone.") % {
            "moment": when(row.synced_at)
        }


def _state_of_phone(truth: Truth, verdict: Verdict) -> Iterator[str]:
    row = truth.row
    if row.synced_at is None and not truth.was_delivered:
        yield _("The card has not come to this wallet yet.")
        if verdict is not Verdict.UNCERTAIN:
            return
    match verdict:
        case Verdict.RIGHT:
            yield _("The phone is right: what was delivered is what the card shows now.")
        case Verdict.ON_ITS_WAY:
            yield _("What phones should show is on record, but not all of them have fetched it.")
        case Verdict.UNCERTAIN:
            yield _(
                "What the phone shows is not certain: a request was sent, and no success came "
                "back. The next delivery sends the card again, changed or not."
            )
        case _:
            yield _wrong(truth)


def _wrong(truth: Truth) -> str:
    due_at = truth.row.due_at
    values = {"fields": _named_fields(truth), "moment": when(due_at)}
    if not values["fields"]:
        return _("The phone may be wrong.")
    if truth.is_certain and due_at is not None:
        text = _("Since %(moment)s the phone is wrong. What differs: %(fields)s.")
    elif truth.is_certain:
        text = _("The phone is wrong. What differs: %(fields)s.")
    elif due_at is not None:
        text = _("Since %(moment)s the phone is probably wrong. Not as last confirmed: %(fields)s.")
    else:
        text = _("The phone is probably wrong. Not as last confirmed: %(fields)s.")
    return text % values


def _named_fields(truth: Truth) -> str:
    """Return the fields that differ, by the names that people have for them."""
    names = list(dict.fromkeys(_(item.label) for item in truth.differences if item.label))
    unnamed = sum(not item.label for item in truth.differences)
    rest = len(names[MOST_FIELDS:]) + (unnamed if not names else 0)
    shown = ", ".join(names[:MOST_FIELDS])
    if not rest:
        return shown
    more = ngettext("%(count)d more field", "%(count)d more fields", rest) % {"count": rest}
    return f"{shown}, {more}" if shown else more


def _reason(truth: Truth, failure: SyncFailure | None) -> Iterator[str]:
    row = truth.row
    if row.due_at is None:
        if truth.obstacle is Obstacle.UNREADABLE:
            yield from _unreadable(truth)
        elif truth.is_changed:
            yield _(
                "The card was changed behind our back and is not due yet: a run that looks for "
                "changes finds it, or sync it now."
            )
        return
    if is_leased(row):
        yield _("A worker is sending it right now; its lease ends at %(moment)s.") % {
            "moment": when(row.lease_until, has_seconds=True)
        }
    elif row.takeovers:
        yield ngettext(
            "A worker died while it held this pass.",
            "%(count)d workers died while they held this pass.",
            row.takeovers,
        ) % {"count": row.takeovers}
    if truth.obstacle is Obstacle.UNREADABLE:
        yield from _unreadable(truth)
    elif row.last_code:
        yield from _failure(row, failure)
    elif not (truth.is_changed or row.is_forced):
        yield _("It is due, but shows already what it should: a worker will find it unchanged.")
    else:
        yield from _untried(row, row.due_at)
    if row.state == WalletPass.State.SET_ASIDE:
        yield ngettext(
            "It is set aside after %(count)d failing run: nothing is sent before the card changes "
            "or somebody syncs it.",
            "It is set aside after %(count)d failing runs: nothing is sent before the card changes "
            "or somebody syncs it.",
            row.failing_runs,
        ) % {"count": row.failing_runs}


def _untried(row: WalletPass, due_at: datetime) -> Iterator[str]:
    since = SyncRun.objects.filter(finished_at__gte=due_at).order_by("-pk")
    runs = list(since.values_list("pk", "error")[:MOST_RUNS])
    for run_id, error in runs:
        for line in error.splitlines():
            # As the run wrote it down: alias, code, message.
            alias, _colon, said = line.partition(": ")
            code, _colon, message = said.partition(": ")
            known = failure_classes().get(code)
            if alias == row.wallet and known is not None:
                yield _(
                    "It was not tried, for run %(run)s had to stop this wallet (%(code)s): "
                    "%(message)s"
                ) % {"run": run_id, "code": code, "message": message}
                yield _(known.remedy)
                return
    if runs or timezone.now() - due_at < PATIENCE:
        yield _("No worker has come to it since; the next run sends it.")
    else:
        yield _(
            "No worker has come to it, and no run has ended since: look whether the schedule and "
            "the workers are alive."
        )


def _unreadable(truth: Truth) -> Iterator[str]:
    if truth.error is not None:
        yield _("What it should show cannot be made (%(code)s): %(message)s") % {
            "code": truth.error.code,
            "message": truth.error.message,
        }
        yield _(truth.error.remedy)


def _failure(row: WalletPass, failure: SyncFailure | None) -> Iterator[str]:
    is_deferral = row.last_outcome == JobOutcome.DEFERRED
    message = failure.message if failure is not None else ""
    if is_deferral:
        yield _("The last run put it off: %(message)s") % {
            "message": message or _("the provider was down, or asked to wait.")
        }
    if is_deferral and row.last_code == "deferred":
        yield _("The next run takes it up.")
        return
    said = message if failure is not None and failure.code == row.last_code else ""
    values = {"moment": when(row.tried_at), "code": row.last_code, "message": said}
    if said:
        yield _("The last attempt, on %(moment)s, failed (%(code)s): %(message)s") % values
    else:
        yield _("The last attempt, on %(moment)s, failed (%(code)s).") % values
    known = failure_classes().get(row.last_code)
    if known is not None:
        yield _(known.remedy)


def _devices(truth: Truth, devices: Sequence[Device]) -> Iterator[str]:
    if not truth.is_published or not truth.was_delivered:
        return
    if not devices:
        yield _("No device is registered for it: nobody has to be told of a change.")
        return
    behind = [device for device in devices if device.is_behind]
    total = len(devices)
    if not behind:
        fetched = max(filter(None, (device.last_fetched_at for device in devices)), default=None)
        if fetched is not None and truth.is_on_record:
            yield ngettext(
                "Its device fetched on %(moment)s and has this version.",
                "The last of its %(count)d devices fetched on %(moment)s, and all have this version.",
                total,
            ) % {"count": total, "moment": when(fetched)}
        return
    yield ngettext(
        "Of %(total)d device, %(count)d has not fetched the last version.",
        "Of %(total)d devices, %(count)d have not fetched the last version.",
        total,
    ) % {"total": total, "count": len(behind)}
    told = max(filter(None, (device.last_pushed_at for device in behind)), default=None)
    if told is None:
        yield _("It was not told of it yet.")
    else:
        yield _(
            "It was told on %(moment)s; a phone that is off or out of reach fetches later and is "
            "reminded."
        ) % {"moment": when(told)}


def _customer(truth: Truth) -> Iterator[str]:
    row = truth.row
    if truth.card is not None and not truth.card.is_active:
        yield _("The card or its program is not active: the phone shows it as not valid.")
    if row.presence == WalletPass.Presence.REMOVED:
        yield _("The customer has removed it from the wallet.")


def when(moment: datetime | None, *, has_seconds: bool = False) -> str:
    """Return a moment in local time, as a sentence names it."""
    if moment is None:
        return _("an unknown day")
    local = timezone.localtime(moment)
    if has_seconds:
        return formats.time_format(local, "H:i:s")
    return formats.date_format(local, "SHORT_DATETIME_FORMAT")
