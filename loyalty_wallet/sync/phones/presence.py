"""Whether a card is on somebody's phone, from what providers mention beside what we asked them.

A hint only: Google's `hasUsers` says neither since when nor who. It counts where nothing better is
known, as after the first of several holders has removed a card. What a callback or a registration
said holds against it for a day; after that an audit, which asks for every card, may correct it,
since callbacks get lost.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from ...models import WalletPass
from ..pump.jobs import Job

SETTLED = timedelta(days=1)

_Presence = WalletPass.Presence
_Source = WalletPass.PresenceSource

_HINTED = Q(presence_source__in=("", _Source.ANSWER, _Source.AUDIT))
_LEFT_BY_ONE_HOLDER = Q(presence=_Presence.UNKNOWN, presence_source=_Source.CALLBACK)


def note_answers(jobs: Iterable[Job], using: str) -> None:
    """Note what the answers to these deliveries mentioned."""
    mentioned = {
        job.row.pk: job.update.answer.has_users
        for job in jobs
        if job.update is not None and job.update.answer.has_users is not None
    }
    note_has_users(
        [pk for pk, has_users in mentioned.items() if has_users],
        [pk for pk, has_users in mentioned.items() if not has_users],
        source=_Source.ANSWER,
        using=using,
    )


def note_has_users(
    held: Collection[int], free: Collection[int], *, source: WalletPass.PresenceSource, using: str
) -> None:
    """Note of these passes that somebody has them, or that nobody has.

    A pass that nobody has and nobody is known to have had stays unknown: it may be added yet.
    """
    now = timezone.now()
    outweighed = _HINTED
    if source == _Source.AUDIT:
        outweighed |= Q(presence_at__lt=now - SETTLED)
    passes = WalletPass.objects.using(using)
    known = {"presence_source": source, "presence_at": now}
    if held:
        passes.filter(outweighed | Q(presence=_Presence.UNKNOWN), pk__in=held).exclude(
            presence=_Presence.IN_WALLET
        ).update(presence=_Presence.IN_WALLET, **known)
    if free:
        was_held = outweighed & Q(presence=_Presence.IN_WALLET)
        passes.filter(was_held | _LEFT_BY_ONE_HOLDER, pk__in=free).update(
            presence=_Presence.REMOVED, **known
        )
