"""The engine room: everything that brings passes up to date goes through here."""

from __future__ import annotations

from .erasure import erase_card
from .explaining.preview import forecast_sync, preview_sync
from .messages.service import MessageReport, send_message
from .outbox import connect, issue, touch
from .realtime import deliver_due_card, sync_card_to_wallets
from .recovery import deliver_overdue, help_with_run, resume_dead_run
from .report import SyncReport
from .selection import Selection
from .service import queue_wallet_sync, sync_wallet_passes

__all__ = [
    "MessageReport",
    "Selection",
    "SyncReport",
    "connect",
    "deliver_due_card",
    "deliver_overdue",
    "erase_card",
    "forecast_sync",
    "help_with_run",
    "issue",
    "preview_sync",
    "queue_wallet_sync",
    "resume_dead_run",
    "send_message",
    "sync_card_to_wallets",
    "sync_wallet_passes",
    "touch",
]
