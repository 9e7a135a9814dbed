"""Which devices hold which passes, and what they have seen of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from http import HTTPStatus

from django.db.models import F
from django.utils import timezone

from ..models import AppleDevice, ApplePassType, AppleRegistration, WalletPass
from ..sync.transactions import in_transaction
from .bodies import BodyError

MOST_DEVICES = 100
"""That may hold one pass: a customer has a phone and a watch, a thief of a token has a script."""

_PUSH_TOKEN = re.compile(r"[0-9A-Fa-f]{8,200}")
_TAG = re.compile(r"[0-9]{1,18}")


class Outcome(Enum):
    """What became of a registration."""

    NEW = "new"
    KNOWN = "known"
    TOO_MANY_DEVICES = "too many devices"


@dataclass(frozen=True, slots=True)
class ChangedPasses:
    """The serial numbers of passes that a device should fetch, and the tag to ask with next time."""

    serial_numbers: list[str]
    tag: int


def read_push_token(content: object) -> str:
    """Return the push token that a device sent. Raises BodyError when there is none."""
    push_token = content.get("pushToken") if isinstance(content, dict) else None
    if not isinstance(push_token, str) or not _PUSH_TOKEN.fullmatch(push_token):
        raise BodyError(HTTPStatus.BAD_REQUEST)
    return push_token


def read_tag(text: str | None) -> int | None:
    """Return the tag that a device sent; None for one that is not ours, as after a restore."""
    return int(text) if text and _TAG.fullmatch(text) else None


def register(device: str, wallet_pass: WalletPass, pass_type: str, push_token: str) -> Outcome:
    """Let a device be told of a pass.

    The push token is the device's, not the pass's: the one that comes last holds for all passes.
    """

    def write() -> Outcome:
        row, _ = AppleDevice.objects.update_or_create(
            device_library_identifier=device,
            pass_type_identifier=pass_type,
            defaults={"push_token": push_token, "token_refreshed_at": timezone.now()},
        )
        known = AppleRegistration.objects.filter(wallet_pass=wallet_pass)
        if not known.filter(device=row).exists() and known.count() >= MOST_DEVICES:
            AppleDevice.objects.filter(pk=row.pk, registrations__isnull=True).delete()
            return Outcome.TOO_MANY_DEVICES
        # It asks for the list by itself now: there is no need to tell it of what is there already.
        _, is_new = AppleRegistration.objects.get_or_create(
            device=row, wallet_pass=wallet_pass, defaults={"pushed_tag": wallet_pass.change_tag}
        )
        _set_presence(wallet_pass, WalletPass.Presence.IN_WALLET)
        return Outcome.NEW if is_new else Outcome.KNOWN

    return in_transaction(write)


def unregister(device: str, wallet_pass: WalletPass, pass_type: str) -> None:
    """Tell a device no longer; does nothing when it was not told."""

    def write() -> None:
        devices = AppleDevice.objects.filter(
            device_library_identifier=device, pass_type_identifier=pass_type
        )
        AppleRegistration.objects.filter(device__in=devices, wallet_pass=wallet_pass).delete()
        devices.filter(registrations__isnull=True).delete()
        if not AppleRegistration.objects.filter(wallet_pass=wallet_pass).exists():
            _set_presence(wallet_pass, WalletPass.Presence.REMOVED)

    in_transaction(write)


def list_changed(device: str, pass_type: str, tag: int | None) -> ChangedPasses | None:
    """Return all of a device's passes that are newer than its tag; None when there are none.

    The tag that it sends says how far it has come: of what is older it needs no reminder.
    """
    held = AppleRegistration.objects.filter(
        device__device_library_identifier=device,
        device__pass_type_identifier=pass_type,
        wallet_pass__change_tag__gt=0,
    ).values_list("pk", "wallet_pass__remote_id", "wallet_pass__change_tag", "news_since")
    rows = list(held)
    newest = max((change_tag for _, _, change_tag, _ in rows), default=0)
    if tag is not None and tag > newest and tag > _counter(pass_type):
        # Our database is older than the device: restored from a backup.
        tag = None
    if tag is not None:
        caught_up = [pk for pk, _, change_tag, since in rows if since and change_tag <= tag]
        if caught_up:
            _note_caught_up(caught_up, tag)
        rows = [row for row in rows if row[2] > tag]
    if not rows:
        return None
    AppleRegistration.objects.filter(pk__in=[row[0] for row in rows]).update(
        listed_tag=newest, last_listed_at=timezone.now()
    )
    return ChangedPasses([serial_number for _, serial_number, _, _ in rows], newest)


def note_fetch(wallet_pass: WalletPass) -> None:
    """Note that a device has, or now gets, the present version of a pass.

    A phone does not say who it is when it fetches. Of several devices with the same pass it is
    taken for the one that has waited longest since it was told to fetch.
    """
    behind = AppleRegistration.objects.filter(
        wallet_pass=wallet_pass, fetched_tag__lt=wallet_pass.change_tag
    ).order_by(F("last_listed_at").asc(nulls_last=True), "pk")
    pk = behind.values_list("pk", flat=True).first()
    if pk is not None:
        now: datetime = timezone.now()
        AppleRegistration.objects.filter(pk=pk).update(
            fetched_tag=wallet_pass.change_tag, last_fetched_at=now, news_since=None
        )


def _note_caught_up(pks: list[int], tag: int) -> None:
    AppleRegistration.objects.filter(pk__in=pks).update(news_since=None)
    AppleRegistration.objects.filter(pk__in=pks, fetched_tag__lt=tag).update(fetched_tag=tag)


def _counter(pass_type: str) -> int:
    counters = ApplePassType.objects.filter(identifier=pass_type)
    return counters.values_list("change_tag", flat=True).first() or 0


def _set_presence(wallet_pass: WalletPass, presence: WalletPass.Presence) -> None:
    passes = WalletPass.objects.filter(pk=wallet_pass.pk).exclude(presence=presence)
    passes.update(
        presence=presence,
        presence_source=WalletPass.PresenceSource.REGISTRATION,
        presence_at=timezone.now(),
    )
