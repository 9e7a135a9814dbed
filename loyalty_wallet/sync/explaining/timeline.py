"""How far a change has come on its way to the phones: changed, tried, pushed, listed, fetched.

A wallet whose provider keeps the pass ends with `delivered`; where phones fetch it from us, their
own questions say how far it has come, and the slowest device counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.utils.translation import gettext as _

from ...models import AppleRegistration, WalletPass
from .truth import Truth

MOST_DEVICES = 200


class Reached(StrEnum):
    """Whether a step is behind us for what the card shows now."""

    YES = "yes"
    PARTLY = "partly"
    NO = "no"
    NOBODY = "nobody"
    """No device holds the pass: nobody has to come this far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step; `at` is when it was reached, or when last before, while it is not."""

    name: str
    reached: Reached
    at: datetime | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What one phone was told of a pass, asked for and fetched. Nothing here names the phone."""

    created_at: datetime
    pushed_tag: int
    listed_tag: int
    fetched_tag: int
    last_pushed_at: datetime | None
    last_listed_at: datetime | None
    last_fetched_at: datetime | None
    news_since: datetime | None
    reminders: int

    @property
    def is_behind(self) -> bool:
        """Whether there is a version that it has not fetched."""
        return self.news_since is not None


_COLUMNS = (
    "created_at",
    "pushed_tag",
    "listed_tag",
    "fetched_tag",
    "last_pushed_at",
    "last_listed_at",
    "last_fetched_at",
    "news_since",
    "reminders",
)


def devices_of(passes: Iterable[WalletPass]) -> dict[int, list[Device]]:
    """Return the devices that hold each of these passes, by the primary keys of the passes."""
    devices: dict[int, list[Device]] = defaultdict(list)
    held = AppleRegistration.objects.filter(wallet_pass__in=[row.pk for row in passes])
    columns = held.order_by("pk").values_list("wallet_pass", *_COLUMNS)[:MOST_DEVICES]
    for pk, *values in columns:
        devices[pk].append(Device(**dict(zip(_COLUMNS, values, strict=True))))
    return devices


def timeline_of(truth: Truth, devices: Sequence[Device]) -> list[Step]:
    """Return the steps of a pass in their order."""
    row = truth.row
    steps = [
        Step(name=_("changed"), reached=Reached.YES, at=row.changed_at or row.created_at),
        Step(name=_("tried"), reached=_reached(_was_tried(truth)), at=row.tried_at),
    ]
    if not truth.is_published:
        is_delivered = row.due_at is None and truth.is_on_record
        return [
            *steps,
            Step(name=_("delivered"), reached=_reached(is_delivered), at=row.synced_at),
        ]
    for name, has_come, moment_of in _DEVICE_STEPS:
        there = [
            device for device in devices if truth.is_on_record and has_come(device, row.change_tag)
        ]
        steps.append(_device_step(name(), there, devices, moment_of))
    return steps


def _was_tried(truth: Truth) -> bool:
    """Say whether a worker came to the pass since its card last changed."""
    row = truth.row
    if row.tried_at is None:
        return False
    if row.due_at is None:
        # What was changed behind our back nobody has come to, however right the record looks.
        return truth.is_on_record or truth.is_left_alone
    # A success that came while the card was changing again says nothing of that change.
    has_failed = bool(row.last_code)
    return has_failed and (row.changed_at is None or row.tried_at >= row.changed_at)


def _reached(has: bool) -> Reached:
    return Reached.YES if has else Reached.NO


def _device_step(
    name: str,
    there: Sequence[Device],
    devices: Sequence[Device],
    moment_of: Callable[[Device], datetime | None],
) -> Step:
    if not devices:
        return Step(name=name, reached=Reached.NOBODY, note=_("no device"))
    # The step is as late as its last device; where none has come, when one last did before.
    moments = list(filter(None, map(moment_of, there or devices)))
    at = max(moments, default=None)
    if len(there) == len(devices):
        return Step(name=name, reached=Reached.YES, at=at)
    note = _("%(count)d of %(total)d devices") % {"count": len(there), "total": len(devices)}
    return Step(
        name=name,
        reached=Reached.PARTLY if there else Reached.NO,
        at=at,
        note=note if len(devices) > 1 else "",
    )


_DEVICE_STEPS: tuple[
    tuple[Callable[[], str], Callable[[Device, int], bool], Callable[[Device], datetime | None]],
    ...,
] = (
    (
        lambda: _("pushed"),
        lambda device, tag: device.pushed_tag >= tag,
        lambda device: device.last_pushed_at,
    ),
    (
        lambda: _("listed"),
        # A phone that has the version has heard of it, whoever told it.
        lambda device, tag: device.listed_tag >= tag or not device.is_behind,
        lambda device: device.last_listed_at,
    ),
    (
        lambda: _("fetched"),
        lambda device, tag: not device.is_behind,
        lambda device: device.last_fetched_at,
    ),
)
