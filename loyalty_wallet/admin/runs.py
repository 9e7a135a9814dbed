"""Sync runs: what was asked, how far it came, what is left to do."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_permission_codename
from django.core.exceptions import PermissionDenied
from django.db import connections
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from .. import queueing
from ..models import SyncBatch, SyncFailure, SyncRun
from ..sync.transactions import without_transaction
from .actions import ResyncAdmin
from .charts import run_strip
from .exports import failures_csv
from .filters import OpenFailuresFilter
from .journal import note
from .outcomes import COMMAND
from .progress import RunProgress
from .run_columns import RunColumns
from .run_orders import cancel, check_wallets, may_be_cancelled, start_full_run
from .run_pages import run_context


class RunChangeList(ChangeList):
    """Reads the batches of the runs that have no totals yet, of the whole page in one query."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        database = connections[self.queryset.db]
        if not database.features.has_zoneinfo_database:
            # A MariaDB without time zone tables cannot tell days apart; the list does without.
            self.date_hierarchy = None

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


class RunAdmin(RunColumns, ResyncAdmin):
    """Every run is on record."""

    # What went wrong comes first: a narrow screen cuts off the rest.
    list_display = (
        "number",
        "status_badge",
        "failed",
        "failure_rate",
        "started_short",
        "duration",
        "scope",
        "selected",
        "synced",
        "unchanged",
        "trigger",
        "requested_by",
    )
    list_display_links = ("number", "started_short")
    list_filter = ("status", "trigger", OpenFailuresFilter)
    list_select_related = ("requested_by",)
    list_per_page = 50
    show_facets = admin.ShowFacets.NEVER
    date_hierarchy = "started_at"
    ordering = ("-pk",)
    actions: Sequence[str] = ("resync_cards", "cancel_runs", "export_failures")
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

    def card_keys(self, queryset: QuerySet[Any]) -> Iterable[str]:
        failures = SyncFailure.objects.open().filter(run__in=queryset.order_by().values("pk"))
        return failures.values_list("wallet_pass__card_key", flat=True).distinct().iterator()

    def retried_run(self, queryset: QuerySet[Any]) -> SyncRun | None:
        """One run is retried by another; of several, each one's history names the new run."""
        runs = list(queryset[:2])
        return runs[0] if len(runs) == 1 else None

    def has_run_permission(self, request: HttpRequest) -> bool:
        """Whether the user may start runs."""
        return request.user.has_perm(f"{self.opts.app_label}.run_sync")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        codename = get_permission_codename("cancel", self.opts)
        return request.user.has_perm(f"{self.opts.app_label}.{codename}")

    def has_export_permission(self, request: HttpRequest) -> bool:
        """A file of failures holds what their list shows, for whoever is to put them right."""
        codename = get_permission_codename("view", SyncFailure._meta)
        may_see = request.user.has_perm(f"{self.opts.app_label}.{codename}")
        return may_see and self.has_resync_permission(request)

    @admin.action(
        description=gettext_lazy("Retry the failed cards of the selected runs"),
        permissions=["resync"],
    )
    def resync_cards(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        if next(iter(self.card_keys(queryset)), None) is None:
            self.message_user(request, _("Nothing to retry: no failure of it is open."))
            return None
        return super().resync_cards(request, queryset)

    @admin.action(description=gettext_lazy("Cancel the selected runs"), permissions=["cancel"])
    def cancel_runs(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        outcome = cancel(request, queryset)
        self.message_user(request, outcome.text, outcome.level)

    @admin.action(
        description=gettext_lazy("Export the failures of the selected runs as CSV"),
        permissions=["export"],
    )
    def export_failures(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponseBase:
        runs = list(queryset.order_by("pk"))
        name = f"failures-run-{runs[0].pk}.csv" if len(runs) == 1 else "failures-of-runs.csv"
        note(request, runs, _("Failures exported."), all_of_them=_("all runs of a list"))
        failures = SyncFailure.objects.filter(run__in=queryset.order_by().values("pk"))
        return failures_csv(failures, name)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        prefix = f"{self.opts.app_label}_{self.opts.model_name}"
        return [
            path("check/", wrap(require_POST(self.check_now)), name=f"{prefix}_check"),
            path("sync-now/", wrap(require_POST(self.sync_now)), name=f"{prefix}_sync_now"),
            path(
                "<int:run_id>/progress/",
                wrap(require_GET(never_cache(self.progress))),
                name=f"{prefix}_progress",
            ),
            *super().get_urls(),
        ]

    @without_transaction
    def sync_now(self, request: HttpRequest) -> HttpResponse:
        """Queue a run over everything that is due."""
        if not (self.has_run_permission(request) and self.has_view_permission(request)):
            raise PermissionDenied
        outcome = start_full_run(request)
        self.message_user(request, outcome.text, outcome.level)
        return redirect("admin:loyalty_wallet_syncrun_changelist")

    @without_transaction
    def check_now(self, request: HttpRequest) -> HttpResponse:
        """Ask the providers over the network, within seconds, and show what they answered."""
        may_check = request.user.has_perm(f"{self.opts.app_label}.run_probes")
        if not (may_check and self.has_view_permission(request)):
            raise PermissionDenied
        outcome = check_wallets(request)
        self.message_user(request, outcome.text, outcome.level)
        return redirect("admin:app_list", app_label=self.opts.app_label)

    def progress(self, request: HttpRequest, run_id: int) -> JsonResponse:
        """Say how far a run is, for the script on its page."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        run = get_object_or_404(SyncRun, pk=run_id)
        return JsonResponse(RunProgress.of_run(run).as_json())

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return RunChangeList

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {
            "may_run": self.has_run_permission(request),
            "has_broker": queueing.has_broker(),
            "sync_command": COMMAND,
            "strip": run_strip() if self.has_view_permission(request) else [],
        }
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        run = kwargs.get("obj")
        if run is not None:
            context |= run_context(run)
            context |= {
                "list_url": reverse("admin:loyalty_wallet_syncrun_changelist"),
                "may_cancel": self.has_cancel_permission(request) and may_be_cancelled(run),
                "may_export": self.has_export_permission(request),
            }
        return super().render_change_form(request, context, *args, **kwargs)
