"""Sync failures: which cards did not come through, why, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ..models import SyncFailure
from ..sources import get_card_source
from ..sync.alarms.beat import read_schedule
from .base import ReadOnlyAdmin
from .exports import failures_csv
from .filters import (
    FailureCodeFilter,
    FailureProgramFilter,
    FailureStateFilter,
    FailureWalletFilter,
)
from .journal import MOST_ENTRIES, note
from .setting_aside import SetAsideAdmin
from .words import BAD, GOOD, IDLE, NOTHING, WAITING, badge, cause, exactly, link, run_link, when
from .words import remedy as remedy_for

SHORT_LENGTH = 80


class FailureChangeList(ChangeList):
    """Reads once for the whole page when the next run comes."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        next_run_at = read_schedule().next_run_at
        for row in self.result_list:
            row.next_run_at = next_run_at


class FailureAdmin(ReadOnlyAdmin, SetAsideAdmin):
    """Failures, the open ones first of all."""

    is_about_one_card = True
    list_display = (
        "code_badge",
        "card",
        "attempts",
        "next_try",
        "short_message",
        "failed_short",
        "wallet",
        "is_retryable",
        "http_status",
        "run_page",
        "resolved",
    )
    list_display_links = ("code_badge",)
    list_filter = (
        FailureStateFilter,
        FailureCodeFilter,
        FailureWalletFilter,
        "is_retryable",
        FailureProgramFilter,
    )
    actions: Sequence[str] = ("resync_cards", "set_aside", "take_up", "export_failures")
    list_select_related = ("wallet_pass",)
    search_fields = (
        "wallet_pass__card_key",
        "wallet_pass__card_label",
        "wallet_pass__remote_id",
    )
    # As they failed, without a sort of the whole table: rows are only ever added.
    ordering = ("-pk",)
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    list_of_all = "state=all"
    fields = (
        "code_badge",
        "cause",
        "remedy",
        "next_try",
        "card",
        "wallet_pass",
        "message",
        "http_status",
        "reason",
        "attempts",
        "is_retryable",
        "failed",
        "run_page",
        "resolved",
    )
    readonly_fields = (
        "code_badge",
        "cause",
        "remedy",
        "next_try",
        "card",
        "failed",
        "run_page",
        "resolved",
    )

    def card_keys(self, queryset: QuerySet[Any]) -> Iterable[str]:
        return queryset.values_list("wallet_pass__card_key", flat=True).iterator()

    @admin.action(description=_("Export selected failures as CSV"), permissions=["resync"])
    def export_failures(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponseBase:
        rows = list(queryset.select_related("wallet_pass")[: MOST_ENTRIES + 1])
        note(request, rows, gettext("Exported."), all_of_them=gettext("all failures of a list"))
        return failures_csv(queryset, "failures.csv")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return FailureChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("wallet_pass__payload")

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        failure = kwargs.get("obj")
        if failure is not None:
            context["subtitle"] = f"{failure.wallet_pass}: {failure.code}"
            failure.next_run_at = read_schedule().next_run_at
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description=_("code"), ordering="code")
    def code_badge(self, row: SyncFailure) -> SafeString:
        return badge(row.code, BAD if row.resolved_at is None else IDLE, title=remedy_for(row.code))

    @admin.display(description=_("remedy"))
    def remedy(self, row: SyncFailure) -> str:
        return remedy_for(row.code)

    @admin.display(description=_("cause"))
    def cause(self, row: SyncFailure) -> str:
        return cause(row.code)

    @admin.display(description=_("next try"))
    def next_try(self, row: Any) -> SafeString | str:
        wallet_pass = row.wallet_pass
        if row.resolved_at is not None or wallet_pass.due_at is None:
            return NOTHING
        if wallet_pass.state == wallet_pass.State.SET_ASIDE:
            return badge(
                str(_("never: set aside")),
                BAD,
                title=str(_("Until the card changes or somebody takes it up again.")),
            )
        if row.next_run_at is None:
            return badge(str(_("next run")), WAITING)
        return when(row.next_run_at, is_short=True)

    @admin.display(description=_("card"), ordering="wallet_pass__card_label")
    def card(self, row: SyncFailure) -> SafeString | str:
        wallet_pass = row.wallet_pass
        url = get_card_source().admin_url(wallet_pass.card_key)
        return link(url, wallet_pass.card_label or wallet_pass.card_key)

    @admin.display(description=_("wallet"), ordering="wallet_pass__wallet")
    def wallet(self, row: SyncFailure) -> str:
        return row.wallet_pass.wallet

    @admin.display(description=_("message"))
    def short_message(self, row: SyncFailure) -> SafeString | str:
        short = Truncator(row.message).chars(SHORT_LENGTH)
        return format_html('<span class="lw-message" title="{}">{}</span>', row.message, short)

    @admin.display(description=_("failed"))
    def failed(self, row: SyncFailure) -> SafeString | str:
        return when(row.failed_at)

    @admin.display(description=_("failed"), ordering="failed_at")
    def failed_short(self, row: SyncFailure) -> SafeString | str:
        return when(row.failed_at, is_short=True)

    @admin.display(description=_("run"), ordering="run_id")
    def run_page(self, row: SyncFailure) -> SafeString | str:
        return run_link(row.run_id)

    @admin.display(description=_("resolved by"), ordering="resolved_at")
    def resolved(self, row: SyncFailure) -> SafeString | str:
        if row.resolved_at is None:
            return badge(str(_("open")), BAD)
        title = exactly(row.resolved_at)
        if row.resolved_by_id is None:
            # A delivery in real time leaves no run on record.
            return badge(str(_("real time")), GOOD, title=title)
        return format_html('<span title="{}">{}</span>', title, run_link(row.resolved_by_id))
