"""What becomes of a run whose process has died, and of passes whose push was lost."""

from __future__ import annotations

import time
from datetime import timedelta

from django.db.models import Q

from ..models import DatabaseNow, SyncRun, WalletPass
from ..registry import get_wallets
from .discovery import touch_expired
from .orders import Orders
from .pump.engine import Engine
from .report import SyncReport
from .runs import close_abandoned, find_dead_run, is_full_run_going, silent_runs, worker_name
from .selection import Selection
from .service import sync_wallet_passes

LOOK_SECONDS = 1
OVERDUE_AFTER = timedelta(minutes=2)
"""By then a push of real time has been delivered, or its message was lost."""
MOST_OVERDUE = 1000
"""More than these are left to the next run, which has a record to write them to."""


def help_with_run(run: SyncRun, *, stop_on: type[BaseException] = KeyboardInterrupt) -> None:
    """Drain the selection of a run that another worker leads.

    That one closes the run. When it is dead, this one goes on in its place.
    """
    selection = Selection.from_json(run.selection)
    engine = Engine(
        selection.wallets,
        selection.scopes,
        orders=Orders(notify=run.notifies, stop_on=stop_on),
        run=run,
        worker=worker_name(),
    )
    engine.drain()
    if engine.is_stopped:
        return
    try:
        is_dead = _wait_for_the_end(run)
    except stop_on:
        return
    if is_dead and selection.is_full:
        resume_dead_run(stop_on=stop_on)
    elif is_dead:
        sync_wallet_passes(run=run, stop_on=stop_on)


def resume_dead_run(*, stop_on: type[BaseException] = KeyboardInterrupt) -> SyncReport | None:
    """Go on with the full run whose process died, if there is one."""
    dead = find_dead_run()
    if dead is None:
        return None
    return sync_wallet_passes(
        selection=dead.selection, trigger=dead.trigger, notify=dead.notifies, stop_on=stop_on
    )


def deliver_overdue(*, stop_on: type[BaseException] = KeyboardInterrupt) -> int:
    """Deliver what should have been delivered in real time; return how many passes came through.

    That includes cards that have expired. While a full run is going they are left to it, and so
    is what has failed.
    """
    close_abandoned()
    touch_expired()
    overdue = Q(due_at__lt=DatabaseNow() - OVERDUE_AFTER, last_code="")
    if is_full_run_going() or not WalletPass.objects.due().unleased().filter(overdue).exists():
        return 0
    engine = Engine(
        get_wallets().values(),
        lambda: iter((overdue,)),
        orders=Orders(limit=MOST_OVERDUE, stop_on=stop_on),
        run=None,
        worker=worker_name(),
    )
    engine.drain()
    return sum(job.outcome is not None and job.outcome.is_success for _, job in engine.kept)


def _wait_for_the_end(run: SyncRun) -> bool:
    """Wait until the run's leader has closed it; return whether it is dead instead."""
    while SyncRun.objects.filter(pk=run.pk, status=SyncRun.Status.RUNNING).exists():
        dead = find_dead_run() or silent_runs().filter(pk=run.pk).first()
        if dead is not None and dead.pk == run.pk:
            return True
        time.sleep(LOOK_SECONDS)
    return False
