"""Writes passes that are taken over, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils import timezone

from ...models import AppleDevice, AppleRegistration, DatabaseNow, WalletPass
from ...wallets.apple import AppleWallet
from ..outbox import in_chunks
from .planning import CHUNK_SIZE, PlannedPass


def write_passes(group: Sequence[PlannedPass]) -> list[PlannedPass]:
    """Write passes that are not there yet; return those that a worker has taken meanwhile.

    They are due with an unknown fingerprint: the next sync updates what the provider has.
    """
    new = [planned for planned in group if planned.known is None]
    WalletPass.objects.bulk_create([_new_pass(planned) for planned in new], CHUNK_SIZE)
    replaced: list[PlannedPass] = []
    lost: list[PlannedPass] = []
    for planned in group:
        if planned.known is not None and not planned.is_ours:
            (replaced if _rename(planned, planned.known) else lost).append(planned)
    for keys in in_chunks((planned.card_key for planned in replaced), CHUNK_SIZE):
        WalletPass.objects.filter(wallet=group[0].wallet.alias, card_key__in=keys).touch()
    return lost


def write_registrations(group: Sequence[PlannedPass], wallet: AppleWallet) -> int:
    """Let the devices of an Apple wallet's passes be told of them; return how many are new."""
    now = timezone.now()
    # Whoever has removed a pass since it was taken over does not get it back.
    kept = [planned for planned in group if planned.devices and not _is_removed(planned)]
    devices = _devices(kept, wallet, now)
    before = AppleRegistration.objects.count()
    for start in range(0, len(kept), CHUNK_SIZE):
        chunk = kept[start : start + CHUNK_SIZE]
        passes = WalletPass.objects.filter(
            wallet=wallet.alias, card_key__in=[planned.card_key for planned in chunk]
        )
        pks = dict(passes.values_list("card_key", "pk"))
        # Nobody has told these devices of any version of ours.
        AppleRegistration.objects.bulk_create(
            (
                AppleRegistration(
                    device_id=devices[name], wallet_pass_id=pks[planned.card_key], news_since=now
                )
                for planned in chunk
                for name in sorted(planned.devices)
            ),
            ignore_conflicts=True,
        )
        passes.exclude(presence=WalletPass.Presence.IN_WALLET).update(
            presence=WalletPass.Presence.IN_WALLET,
            presence_source=WalletPass.PresenceSource.REGISTRATION,
            presence_at=now,
        )
    return AppleRegistration.objects.count() - before


def _new_pass(planned: PlannedPass) -> WalletPass:
    if planned.card is None:
        raise TypeError("A pass is planned for a card.")
    return WalletPass(
        card_key=planned.card_key,
        wallet=planned.wallet.alias,
        remote_id=planned.remote_id,
        authentication_token=planned.token,
        program_key=planned.card.program.key,
        card_label=planned.card.label[:200],
        due_at=DatabaseNow(),
        changed_at=DatabaseNow(),
    )


def _rename(planned: PlannedPass, row: WalletPass) -> bool:
    """Give a pass that nobody has its old name, unless a worker is about to hand it out."""
    passes = WalletPass.objects.unleased().filter(
        pk=row.pk,
        remote_id=row.remote_id,
        fingerprint=row.fingerprint,
        synced_revision=row.synced_revision,
    )
    is_done = passes.update(
        remote_id=planned.remote_id,
        authentication_token=planned.token,
        fingerprint="",
        lease_token="",
    )
    return bool(is_done)


def _is_removed(planned: PlannedPass) -> bool:
    row = planned.known
    return row is not None and row.presence == WalletPass.Presence.REMOVED


def _devices(group: Sequence[PlannedPass], wallet: AppleWallet, now: Any) -> dict[str, int]:
    """Return the rows of all devices of these passes by their names, made where there are none."""
    push_tokens = {
        name: push_token for planned in group for name, push_token in planned.devices.items()
    }
    pks: dict[str, int] = {}
    for names in in_chunks(push_tokens, CHUNK_SIZE):
        # A device that is known may have sent a newer token since.
        AppleDevice.objects.bulk_create(
            (
                AppleDevice(
                    device_library_identifier=name,
                    pass_type_identifier=wallet.pass_type_identifier,
                    push_token=push_tokens[name],
                    token_refreshed_at=now,
                )
                for name in names
            ),
            ignore_conflicts=True,
        )
        found = AppleDevice.objects.filter(
            device_library_identifier__in=names, pass_type_identifier=wallet.pass_type_identifier
        )
        pks.update(found.values_list("device_library_identifier", "pk"))
    return pks
