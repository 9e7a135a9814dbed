"""Wallet passes: is each phone right, and if not, why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from ..models import WalletPass
from ..sources import get_card_source
from .base import ReadOnlyAdmin
from .erasing import EraseAdmin
from .filters import PassStatusFilter, ProgramKeyFilter, WalletFilter
from .panels import failure_rows, pass_panels, pretty
from .words import NOTHING, link, pass_status, remedy, run_link, when


class PassAdmin(ReadOnlyAdmin, EraseAdmin):
    """One card in one wallet."""

    is_about_one_card = True
    list_display = ("status", "card", "wallet", "program_key", "synced")
    list_display_links = ("status",)
    list_filter = (PassStatusFilter, WalletFilter, ProgramKeyFilter)
    # Ids are pasted whole: only what the card is called is looked for in the middle of a text.
    search_fields = ("=card_key", "card_label", "=remote_id")
    ordering = ("-pk",)
    show_full_result_count = False
    list_per_page = 50
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "card",
                    "wallet",
                    "program_key",
                    "remote_id",
                )
            },
        ),
        (
            _("Delivery"),
            {
                "fields": (
                    "state",
                    "due",
                    "delivered",
                    "priority",
                    "forced",
                    "desired_revision",
                    "synced_revision",
                    "failing_runs",
                    "last_failure",
                    "last_run_link",
                )
            },
        ),
    )
    readonly_fields = (
        "card",
        "due",
        "forced",
        "delivered",
        "last_failure",
        "last_run_link",
    )

    def card_keys(self, queryset: QuerySet[Any]) -> Iterable[str]:
        return queryset.values_list("card_key", flat=True).iterator()

    def wallet_of(self, row: Any) -> str:
        return str(row.wallet)

    def get_sortable_by(self, request: HttpRequest) -> tuple[str, ...]:
        # Nothing but the key has an index over all passes; the ones in trouble are few.
        return ("status",) if PassStatusFilter.parameter_name in request.GET else ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("payload")

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        row = kwargs.get("obj")
        if row is not None:
            (panel,) = pass_panels(row.card_key, [row])
            context |= {
                "pass": panel,
                "delivered_payload": pretty(row.payload),
                "failures": failure_rows(row.failures.order_by("-failed_at", "-pk")),
            }
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description=_("status"), ordering="due_at")
    def status(self, row: WalletPass) -> SafeString:
        return pass_status(row)

    @admin.display(description=_("card"), ordering="card_label")
    def card(self, row: WalletPass) -> SafeString | str:
        return link(get_card_source().admin_url(row.card_key), row.card_label or row.card_key)

    @admin.display(description=_("due since"))
    def due(self, row: WalletPass) -> SafeString | str:
        return when(row.due_at)

    @admin.display(description=_("sent even if unchanged"))
    def forced(self, row: WalletPass) -> str:
        # In words: a red cross for "no" would look like trouble.
        return str(_("yes") if row.is_forced else _("no"))

    @admin.display(description=_("delivered"))
    def delivered(self, row: WalletPass) -> SafeString | str:
        return when(row.synced_at)

    @admin.display(description=_("delivered"), ordering="synced_at")
    def synced(self, row: WalletPass) -> SafeString | str:
        return when(row.synced_at, is_short=True)

    @admin.display(description=_("last failure"))
    def last_failure(self, row: WalletPass) -> SafeString | str:
        if not row.last_code:
            return NOTHING
        return format_html("<strong>{}</strong>: {}", row.last_code, remedy(row.last_code))

    @admin.display(description=_("last run"))
    def last_run_link(self, row: WalletPass) -> SafeString | str:
        return run_link(row.last_run_id)
