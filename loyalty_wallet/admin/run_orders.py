"""What the buttons do: start and stop runs, by a worker and never here, and check the wallets."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.admin.models import ADDITION
from django.core.exceptions import ImproperlyConfigured
from django.db import router, transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .. import queueing
from ..models import SyncRun
from ..monitoring.probes import run_probes
from ..sync import Selection, queue_wallet_sync
from . import outcomes
from .journal import note
from .outcomes import COMMAND, Outcome
from .words import run_link

CANCELLED_IN_QUEUE = "Cancelled before it began."
_GOING = (SyncRun.Status.QUEUED, SyncRun.Status.RUNNING)


def start_full_run(request: HttpRequest) -> Outcome:
    """Queue a run over everything that is due, unless one is queued or going already."""
    if not queueing.has_broker():
        return Outcome(
            messages.WARNING,
            format_html(
                "{} <code>{}</code>",
                _("No broker is configured, so that no worker can be told. Run:"),
                COMMAND,
            ),
        )
    if (going := _full_run()) is not None:
        return Outcome(
            messages.INFO,
            format_html("{} {}", _("Nothing was queued: a full run is there."), run_link(going.pk)),
        )
    try:
        with transaction.atomic(using=router.db_for_write(SyncRun)):
            run = queue_wallet_sync(
                Selection(), trigger=SyncRun.Trigger.ADMIN, requested_by=request.user
            )
            queueing.enqueue_run(run)
            note(request, [run], _("Started by hand."), flag=ADDITION)
    except ImproperlyConfigured as error:
        return outcomes.misconfigured(error)
    run.refresh_from_db()
    if run.status == SyncRun.Status.FAILED:
        return outcomes.queued(run, 0)
    return Outcome(
        messages.SUCCESS,
        format_html(
            "{} {}", _("A run over everything due is queued for a worker."), run_link(run.pk)
        ),
    )


def check_wallets(request: HttpRequest) -> Outcome:
    """Probe every wallet over the network within the time budget of probes."""
    probes = run_probes()
    note(request, list(probes.values()), _("Checked over the network."))
    if not probes:
        return Outcome(
            messages.WARNING, format_html("{}", _("There is no usable wallet to be checked."))
        )
    bad = sorted(
        alias
        for alias, probe in probes.items()
        if not (probe.is_reachable and probe.is_authorised is not False)
    )
    if bad:
        text = _("Checked. Something is wrong with: %(wallets)s.") % {"wallets": ", ".join(bad)}
        return Outcome(messages.ERROR, format_html("{}", text))
    return Outcome(messages.SUCCESS, format_html("{}", _("Checked: all wallets answer.")))


def cancel(request: HttpRequest, runs: QuerySet[Any]) -> Outcome:
    """Tell runs that are going to stop, and take queued ones out of the queue."""
    now = timezone.now()
    with transaction.atomic(using=router.db_for_write(SyncRun)):
        going = list(runs.filter(status__in=_GOING, cancel_requested_at__isnull=True))
        chosen = SyncRun.objects.filter(pk__in=[run.pk for run in going])
        # In this order: a run that begins in between is told to stop as well.
        chosen.filter(status__in=_GOING).update(cancel_requested_at=now)
        chosen.filter(status=SyncRun.Status.QUEUED).update(
            status=SyncRun.Status.INTERRUPTED,
            started_at=now,
            finished_at=now,
            error=CANCELLED_IN_QUEUE,
        )
        note(request, going, _("Told to stop."))
    if not going:
        return Outcome(
            messages.WARNING,
            format_html("{}", _("Nothing to cancel: only a queued or running run can be stopped.")),
        )
    text = ngettext(
        "%(count)d run is told to stop. What it has begun is finished; the rest stays due.",
        "%(count)d runs are told to stop. What they have begun is finished; the rest stays due.",
        len(going),
    )
    return Outcome(messages.SUCCESS, format_html("{}", text % {"count": len(going)}))


def may_be_cancelled(run: SyncRun) -> bool:
    return run.status in _GOING and run.cancel_requested_at is None


def _full_run() -> SyncRun | None:
    """Return the run over everything due that is going or waits for a worker."""
    everything = Selection().as_json()
    for run in SyncRun.objects.filter(status__in=_GOING).order_by("pk"):
        is_full = run.active_key is not None or run.selection == everything
        # A dead one is no reason to wait: the next run takes it over.
        if is_full and not run.is_stalled:
            return run
    return None
