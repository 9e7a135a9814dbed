"""Sync failures: which cards did not come through, why, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _

from ..models import SyncFailure
from ..sources import get_card_source
from .actions import ResyncAdmin
from .base import ReadOnlyAdmin
from .filters import FailureCodeFilter, FailureStateFilter, FailureWalletFilter
from .words import BAD, GOOD, IDLE, badge, exactly, link, run_link, when
from .words import remedy as remedy_for

SHORT_LENGTH = 80


class FailureAdmin(ReadOnlyAdmin, ResyncAdmin):
    """Failures, the open ones first of all."""

    list_display = (
        "code_badge",
        "card",
        "wallet",
        "failed_short",
        "short_message",
        "is_retryable",
        "attempts",
        "http_status",
        "run_page",
        "resolved",
    )
    list_display_links = ("code_badge",)
    list_filter = (FailureStateFilter, FailureCodeFilter, FailureWalletFilter, "is_retryable")
    list_select_related = ("wallet_pass",)
    search_fields = (
        "wallet_pass__card_key",
        "wallet_pass__card_label",
        "wallet_pass__remote_id",
    )
    ordering = ("-failed_at",)
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    list_of_all = "state=all"
    fields = (
        "code_badge",
        "remedy",
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
    readonly_fields = ("code_badge", "remedy", "card", "failed", "run_page", "resolved")

    def card_keys(self, queryset: QuerySet[Any]) -> Iterable[str]:
        return queryset.values_list("wallet_pass__card_key", flat=True).iterator()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("wallet_pass__payload")

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        failure = kwargs.get("obj")
        if failure is not None:
            context["subtitle"] = f"{failure.wallet_pass}: {failure.code}"
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description=_("code"), ordering="code")
    def code_badge(self, row: SyncFailure) -> SafeString:
        return badge(row.code, BAD if row.resolved_at is None else IDLE, title=remedy_for(row.code))

    @admin.display(description=_("remedy"))
    def remedy(self, row: SyncFailure) -> str:
        return remedy_for(row.code)

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
