"""What the page of one run tells beside its fields: how it went, what failed and why, what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Count, Q
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from ..models import SyncFailure, SyncRun
from ..redaction import redact
from ..sync import SyncReport
from ..sync.report import CARD_COUNTS
from . import words
from .outcomes import stop_codes
from .panels import failure_rows
from .progress import RunProgress, is_going

MOST_RELATED = 20
COUNT_WORDS = {
    "selected": gettext_lazy("selected"),
    "synced": gettext_lazy("synced"),
    "created": gettext_lazy("created"),
    "updated": gettext_lazy("updated"),
    "unchanged": gettext_lazy("unchanged"),
    "failed": gettext_lazy("failed"),
    "deferred": gettext_lazy("deferred"),
    "left": gettext_lazy("left"),
    "attempts": gettext_lazy("attempts"),
    "requests": gettext_lazy("requests"),
    "pushes": gettext_lazy("pushes"),
}


def failures_url(run: SyncRun, *, state: str = "all", code: str = "") -> str:
    """Return the address of the list of the failures of a run."""
    query = {"run__id__exact": str(run.pk)}
    if state:
        query["state"] = state
    if code:
        query["code"] = code
    return f"{reverse('admin:loyalty_wallet_syncfailure_changelist')}?{urlencode(query)}"


def run_context(run: SyncRun) -> dict[str, Any]:
    """Return what the template of the page shows of a run."""
    codes = _by_code(run)
    context: dict[str, Any] = {
        "progress": RunProgress.of_run(run) if is_going(run) else None,
        "failures": failure_rows(run.failures.order_by("pk")),
        "failure_codes": codes,
        "failure_count": sum(group["passes"] for group in codes),
        "open_count": sum(group["still_open"] for group in codes),
        "failures_url": failures_url(run),
        "retry_command": f"manage.py sync_wallet_passes --run {run.pk}",
        "same_command": words.command(run.selection),
    }
    try:
        report = SyncReport.of_run(run)
    except ImproperlyConfigured as error:
        return {**context, "misconfigured": redact(str(error))}
    return {
        **context,
        "card_counts": [(COUNT_WORDS[name], report.cards.get(name, 0)) for name in CARD_COUNTS],
        "wallet_counts": _wallet_table(report.wallets),
    }


def explain(run: SyncRun) -> list[Any]:
    """Return what a person needs to know of how the run goes or ended, in sentences."""
    status = SyncRun.Status(run.status)
    lines: list[Any] = [line for line in run.error.splitlines() if line]
    lines += [words.remedy(code) for code in stop_codes(run.error)]
    if run.is_stalled:
        return [*lines, _STALLED]
    if status == SyncRun.Status.QUEUED:
        waits = _("It has been waiting for a worker for %(age)s.")
        lines.append(waits % {"age": words.age(run.created_at)})
    return [*lines, str(_SENTENCES[status])]


def related_runs(run: SyncRun) -> list[SafeString]:
    """Return what it retried, what retried it, and which runs mended what failed here."""
    lines = []
    if run.retry_of_id:
        lines.append(format_html(_("Retry of {}"), words.run_link(run.retry_of_id)))
    retries = run.retries.order_by("pk").values_list("pk", flat=True)
    lines += [format_html(_("Retried by {}"), words.run_link(pk)) for pk in retries[:MOST_RELATED]]
    resolved = run.failures.filter(resolved_at__isnull=False).order_by()
    by_run = resolved.values("resolved_by").annotate(passes=Count("pk")).order_by("resolved_by")
    for pk, passes in by_run.values_list("resolved_by", "passes")[:MOST_RELATED]:
        text = ngettext(
            "%(count)d pass put right by {}", "%(count)d passes put right by {}", passes
        ) % {"count": passes}
        who = words.run_link(pk) if pk else _("deliveries in real time")
        lines.append(format_html(text, who))
    return lines


_STALLED = gettext_lazy(
    "It has given no sign of life for more than 5 minutes: its process has probably died. Nothing "
    "is lost: its passes stay due and the next run takes them up."
)
_SENTENCES = {
    SyncRun.Status.QUEUED: gettext_lazy(
        "If that lasts, check that a Celery worker runs. Its passes are due: any other run "
        "delivers them as well."
    ),
    SyncRun.Status.RUNNING: gettext_lazy("It is going."),
    SyncRun.Status.SUCCEEDED: gettext_lazy("Every selected card is up to date."),
    SyncRun.Status.PARTIAL: gettext_lazy(
        "Some cards did not come through. They stay due, and the next run tries them again."
    ),
    SyncRun.Status.FAILED: gettext_lazy(
        "No card came through. They stay due, and the next run tries them again."
    ),
    SyncRun.Status.SKIPPED: gettext_lazy("Nothing was done: the other run takes care of it."),
    SyncRun.Status.INTERRUPTED: gettext_lazy(
        "It was stopped before its end. What it did not reach stays due."
    ),
}


def _wallet_table(wallets: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    names = list(dict.fromkeys(name for counts in wallets.values() for name in counts))
    return {
        "names": [COUNT_WORDS.get(name, name) for name in names],
        "rows": [
            (alias, [counts.get(name, words.NOTHING) for name in names])
            for alias, counts in wallets.items()
        ],
    }


def _by_code(run: SyncRun) -> list[dict[str, Any]]:
    groups = SyncFailure.objects.filter(run=run).values("code")
    counted = groups.annotate(
        passes=Count("pk"), still_open=Count("pk", filter=Q(resolved_at__isnull=True))
    )
    return [
        {
            **group,
            "cause": words.cause(group["code"]),
            "remedy": words.remedy(group["code"]),
            "url": failures_url(run, code=group["code"]),
        }
        for group in counted.order_by("-passes", "code")
    ]
