"""Sync runs: what was asked, how far it came, what is left to do."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..models import SyncBatch, SyncFailure, SyncRun
from ..redaction import redact
from ..sync import SyncReport
from ..sync.report import CARD_COUNTS
from . import words
from .base import ReadOnlyAdmin
from .outcomes import stop_codes
from .panels import failure_rows

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


class RunChangeList(ChangeList):
    """Reads the batches of the runs that have no totals yet, of the whole page in one query."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        unfinished = {run.pk: run for run in self.result_list if not run.card_counts}
        totals: dict[int, Counter[str]] = defaultdict(Counter)
        if unfinished:
            batches = SyncBatch.objects.filter(run__in=unfinished)
            for run_id, counts in batches.values_list("run_id", "counts"):
                totals[run_id].update(counts)
        for pk, run in unfinished.items():
            run.pass_counts = totals[pk]


class RunAdmin(ReadOnlyAdmin):
    """Every run is on record."""

    # What went wrong comes first: a narrow screen cuts off the rest.
    list_display = (
        "number",
        "status_badge",
        "failed",
        "started_short",
        "scope",
        "selected",
        "synced",
        "unchanged",
        "duration",
        "trigger",
        "requested_by",
    )
    list_display_links = ("number", "started_short")
    list_filter = ("status", "trigger")
    list_select_related = ("requested_by",)
    date_hierarchy = "started_at"
    ordering = ("-pk",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "status_badge",
                    "explanation",
                    "scope",
                    "trigger",
                    "requested_by",
                    "related_runs",
                )
            },
        ),
        (
            gettext_lazy("Times"),
            {
                "fields": (
                    ("created", "started"),
                    ("heartbeat", "finished"),
                    ("duration", "resumes"),
                )
            },
        ),
    )
    readonly_fields = (
        "status_badge",
        "explanation",
        "scope",
        "related_runs",
        "created",
        "started",
        "heartbeat",
        "finished",
        "duration",
    )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return RunChangeList

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        run = kwargs.get("obj")
        if run is not None:
            context |= _outcome(run)
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description=gettext_lazy("run"), ordering="pk")
    def number(self, run: SyncRun) -> int:
        return run.pk

    @admin.display(description=gettext_lazy("started"))
    def started(self, run: SyncRun) -> SafeString | str:
        return words.when(run.started_at)

    @admin.display(description=gettext_lazy("started"), ordering="started_at")
    def started_short(self, run: SyncRun) -> SafeString | str:
        return words.when(run.started_at, is_short=True)

    @admin.display(description=gettext_lazy("created"))
    def created(self, run: SyncRun) -> SafeString | str:
        return words.when(run.created_at)

    @admin.display(description=gettext_lazy("last sign of life"))
    def heartbeat(self, run: SyncRun) -> SafeString | str:
        return words.when(run.heartbeat_at)

    @admin.display(description=gettext_lazy("finished"))
    def finished(self, run: SyncRun) -> SafeString | str:
        return words.when(run.finished_at)

    @admin.display(description=gettext_lazy("status"), ordering="status")
    def status_badge(self, run: SyncRun) -> SafeString:
        return words.run_status(run)

    @admin.display(description=gettext_lazy("scope"))
    def scope(self, run: SyncRun) -> str:
        return words.scope(run.selection)

    @admin.display(description=gettext_lazy("duration"))
    def duration(self, run: SyncRun) -> str:
        return words.duration(run.duration_seconds)

    @admin.display(description=gettext_lazy("cards"))
    def selected(self, run: SyncRun) -> str:
        return str(run.card_counts["selected"]) if run.card_counts else words.NOTHING

    @admin.display(description=gettext_lazy("synced"))
    def synced(self, run: Any) -> str:
        if run.card_counts:
            return str(run.card_counts["synced"])
        return _so_far(run.pass_counts["created"] + run.pass_counts["updated"])

    @admin.display(description=gettext_lazy("unchanged"))
    def unchanged(self, run: Any) -> str:
        if run.card_counts:
            return str(run.card_counts["unchanged"])
        return _so_far(run.pass_counts["unchanged"])

    @admin.display(description=gettext_lazy("failed"))
    def failed(self, run: Any) -> SafeString | str:
        if run.card_counts:
            count = run.card_counts["failed"] + run.card_counts["deferred"]
            shown = str(count)
        else:
            count = run.pass_counts["failed"] + run.pass_counts["deferred"]
            shown = _so_far(count)
        return words.link(_failures_url(run), shown) if count else shown

    @admin.display(description=gettext_lazy("what happened"))
    def explanation(self, run: SyncRun) -> SafeString | str:
        return format_html_join("", "<p>{}</p>", ((line,) for line in _explain(run)))

    @admin.display(description=gettext_lazy("related runs"))
    def related_runs(self, run: SyncRun) -> SafeString | str:
        lines = []
        if run.retry_of_id:
            lines.append(format_html(_("Retry of {}"), words.run_link(run.retry_of_id)))
        retries = run.retries.order_by("pk").values_list("pk", flat=True)
        lines += [format_html(_("Retried by {}"), words.run_link(pk)) for pk in retries[:20]]
        return format_html_join(", ", "{}", ((line,) for line in lines)) or words.NOTHING


def _so_far(count: int) -> str:
    return _("%(count)d so far") % {"count": count} if count else words.NOTHING


def _failures_url(run: SyncRun) -> str:
    url = reverse("admin:loyalty_wallet_syncfailure_changelist")
    return f"{url}?run__id__exact={run.pk}&state=all"


def _explain(run: SyncRun) -> list[Any]:
    """Return what a person needs to know of how the run goes or ended, in sentences."""
    status = SyncRun.Status(run.status)
    lines = [line for line in run.error.splitlines() if line]
    lines += [words.remedy(code) for code in stop_codes(run.error)]
    if run.is_stalled:
        return [*lines, _STALLED]
    if status == SyncRun.Status.QUEUED:
        waits = _("It has been waiting for a worker for %(age)s.")
        lines.append(waits % {"age": words.age(run.created_at)})
    return [*lines, str(_SENTENCES[status])]


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


def _outcome(run: SyncRun) -> dict[str, Any]:
    context: dict[str, Any] = {
        "failures": failure_rows(run.failures.order_by("pk")),
        "failure_codes": _by_code(run),
        "failure_count": run.failures.count(),
        "failures_url": _failures_url(run),
        "retry_command": f"manage.py sync_wallet_passes --run {run.pk}",
        "same_command": words.command(run.selection),
        "has_open_failures": run.failures.filter(resolved_at__isnull=True).exists(),
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
    groups = SyncFailure.objects.filter(run=run).values("code").annotate(passes=Count("pk"))
    return [
        {**group, "remedy": words.remedy(group["code"])} for group in groups.order_by("-passes")
    ]
