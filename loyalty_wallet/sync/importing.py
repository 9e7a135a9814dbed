"""Takes over Apple passes that another system has handed out: customers keep them on their phones.

An installed pass never changes its serial number and its token, so both are taken over as they
are. The next sync makes a version of each pass and rings the phones, which fetch it from here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from django.db import transaction
from django.utils import timezone

from ..cards import Card
from ..models import AppleDevice, AppleRegistration, DatabaseNow, WalletPass
from ..sources import get_card_source
from ..wallets.apple import AppleWallet
from .outbox import in_chunks

REQUIRED = ("card_key", "serial_number", "authentication_token")
OPTIONAL = ("device_library_identifier", "push_token")
CHUNK_SIZE = 500
FIRST_LINE = 2
"""Line 1 of the file names the columns."""

_FORMATS = {
    "card_key": re.compile(r".{1,191}"),
    "serial_number": re.compile(r"[A-Za-z0-9._~-]{1,100}"),
    "authentication_token": re.compile(r"[!-~]{16,64}"),
    "device_library_identifier": re.compile(r"[A-Za-z0-9._~-]{1,100}"),
    "push_token": re.compile(r"[0-9A-Fa-f]{8,200}"),
}


@dataclass(slots=True, kw_only=True)
class Imported:
    """How many passes and devices were taken over; with `problems` none were."""

    passes: int = 0
    devices: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Wanted:
    line: int
    serial_number: str
    token: str
    devices: set[str] = field(default_factory=set)


def import_apple_passes(
    rows: Iterable[Mapping[str, str | None]], wallet: AppleWallet, *, dry_run: bool = False
) -> Imported:
    """Take over passes and their devices, all or nothing; doing it again changes nothing.

    A row is a pass on a device, or with both device columns empty a pass alone. Problems name
    lines and columns, never a token.
    """
    wanted, push_tokens, problems = _read(rows)
    with transaction.atomic():
        found = [
            pair
            for keys in in_chunks(wanted, CHUNK_SIZE)
            for pair in _find(keys, wanted, wallet, problems)
        ]
        if not (problems or dry_run):
            for row, entry in found:
                _write(row, entry)
            _register(wanted, push_tokens, wallet)
    if problems:
        return Imported(problems=problems)
    return Imported(passes=len(wanted), devices=len(push_tokens))


def _read(
    rows: Iterable[Mapping[str, str | None]],
) -> tuple[dict[str, _Wanted], dict[str, str], list[str]]:
    wanted: dict[str, _Wanted] = {}
    owners: dict[str, str] = {}
    push_tokens: dict[str, str] = {}
    problems = []
    for line, row in enumerate(rows, start=FIRST_LINE):
        values = {name: (row.get(name) or "").strip() for name in (*REQUIRED, *OPTIONAL)}
        has_device = any(values[name] for name in OPTIONAL)
        needed = REQUIRED + (OPTIONAL if has_device else ())
        if wrong := [name for name in needed if not _FORMATS[name].fullmatch(values[name])]:
            problems.append(f"Line {line}: {', '.join(wrong)}: missing, or not as it should be.")
            continue
        key, serial_number, token, device, push_token = values.values()
        entry = wanted.setdefault(key, _Wanted(line, serial_number, token))
        if (entry.serial_number, entry.token) != (serial_number, token):
            problems.append(f"Line {line}: the card has another pass in line {entry.line}.")
        elif owners.setdefault(serial_number, key) != key:
            problems.append(f"Line {line}: another card has this serial number already.")
        elif device:
            entry.devices.add(device)
            # The token is the device's: the one that comes last holds.
            push_tokens[device] = push_token
    return wanted, push_tokens, problems


def _find(
    keys: Sequence[str], wanted: Mapping[str, _Wanted], wallet: AppleWallet, problems: list[str]
) -> Iterator[tuple[WalletPass, _Wanted]]:
    """Yield the passes of these cards, new or known, and note which cannot be taken over."""
    source = get_card_source()
    cards = {source.key_for(row): source.to_card(row) for row in source.rows_for(keys)}
    passes = WalletPass.objects.filter(wallet=wallet.alias)
    known = {row.card_key: row for row in passes.filter(card_key__in=keys).defer("payload")}
    serial_numbers = [wanted[key].serial_number for key in keys]
    owners = dict(passes.filter(remote_id__in=serial_numbers).values_list("remote_id", "card_key"))
    for key in keys:
        entry, card, row = wanted[key], cards.get(key), known.get(key)
        if card is None or wallet.alias not in card.program.wallets:
            problem = f"there is no card {key!r} for the wallet {wallet.alias!r}"
        elif owners.get(entry.serial_number, key) != key:
            problem = "another card has this serial number already"
        elif row is not None and row.remote_id != entry.serial_number and _is_held(row):
            problem = "the card has another pass, which is on a phone"
        else:
            yield row or _new_pass(card, wallet), entry
            continue
        problems.append(f"Line {entry.line}: {problem}.")


def _new_pass(card: Card, wallet: AppleWallet) -> WalletPass:
    return WalletPass(
        card_key=card.key,
        wallet=wallet.alias,
        program_key=card.program.key,
        card_label=card.label[:200],
    )


def _is_held(row: WalletPass) -> bool:
    return row.registrations.exists()


def _write(row: WalletPass, entry: _Wanted) -> None:
    if (row.remote_id, row.authentication_token) == (entry.serial_number, entry.token):
        return
    is_new = row.pk is None
    row.remote_id = entry.serial_number
    row.authentication_token = entry.token
    if is_new:
        row.due_at = row.changed_at = DatabaseNow()
        row.save(force_insert=True)
    else:
        row.save(update_fields=["remote_id", "authentication_token"])
        WalletPass.objects.filter(pk=row.pk).touch()


def _register(
    wanted: Mapping[str, _Wanted], push_tokens: Mapping[str, str], wallet: AppleWallet
) -> None:
    now = timezone.now()
    # A device that is known may have sent a newer token since.
    devices = {
        name: AppleDevice.objects.get_or_create(
            device_library_identifier=name,
            pass_type_identifier=wallet.pass_type_identifier,
            defaults={"push_token": push_token, "token_refreshed_at": now},
        )[0]
        for name, push_token in push_tokens.items()
    }
    for keys in in_chunks((key for key, entry in wanted.items() if entry.devices), CHUNK_SIZE):
        passes = WalletPass.objects.filter(wallet=wallet.alias, card_key__in=keys)
        pks = dict(passes.values_list("card_key", "pk"))
        # Nobody has told these devices of any version of ours.
        AppleRegistration.objects.bulk_create(
            (
                AppleRegistration(device=devices[name], wallet_pass_id=pks[key], news_since=now)
                for key in keys
                for name in sorted(wanted[key].devices)
            ),
            ignore_conflicts=True,
        )
        passes.exclude(presence=WalletPass.Presence.IN_WALLET).update(
            presence=WalletPass.Presence.IN_WALLET,
            presence_source=WalletPass.PresenceSource.REGISTRATION,
            presence_at=now,
        )
