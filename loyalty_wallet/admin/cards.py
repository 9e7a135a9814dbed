"""Programs, cards and transactions: the shop's own tables, while they are what is synced."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib import admin
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..conf import get_conf
from ..models import LoyaltyCard, LoyaltyProgram, LoyaltyTransaction
from ..sources import CardSource, get_card_source
from .actions import ResyncAdmin
from .base import ReadOnlyAdmin, StyledAdmin
from .erasing import EraseAdmin
from .forms import TransactionForm
from .panels import card_passes
from .words import when

MOST_TRANSACTIONS = 10


class ProgramAdmin(StyledAdmin, ResyncAdmin):
    """Programs. A change that shows on the cards marks all of them as due."""

    list_display = ("name", "kind", "issuer_name", "wallets", "card_count", "is_active")
    list_filter = ("kind", "is_active")
    search_fields = ("name", "slug", "issuer_name")
    prepopulated_fields = {"slug": ("name",)}
    fieldsets = (
        (None, {"fields": ("name", "slug", "kind", "is_active")}),
        (
            gettext_lazy("On the card"),
            {
                "fields": (
                    "issuer_name",
                    "points_label",
                    "stamps_required",
                    "reward",
                    "logo_url",
                    "hero_image_url",
                    "background_color",
                )
            },
        ),
        (
            gettext_lazy("Wallets"),
            {"fields": ("google_wallet", "apple_wallet", "auto_issue", "notifies")},
        ),
    )

    def card_keys(self, queryset: QuerySet[Any]) -> Iterable[str]:
        return _keys_of(LoyaltyCard.objects.filter(program__in=queryset.order_by().values("pk")))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        programs: QuerySet[Any] = super().get_queryset(request)
        # Counted program by program, along an index: a join would group all cards first.
        cards = LoyaltyCard.objects.filter(program=OuterRef("pk")).order_by().values("program")
        count = Subquery(cards.annotate(count=Count("pk")).values("count"))
        counted: QuerySet[Any] = programs.annotate(card_count=Coalesce(count, 0))
        return counted

    @admin.display(description=gettext_lazy("wallets"))
    def wallets(self, program: LoyaltyProgram) -> str:
        configured = get_conf().wallets
        aliases = filter(None, (program.google_wallet, program.apple_wallet))
        return ", ".join(
            alias if alias in configured else _("%(alias)s (not configured)") % {"alias": alias}
            for alias in aliases
        )

    @admin.display(description=gettext_lazy("cards"), ordering="card_count")
    def card_count(self, program: Any) -> SafeString:
        url = reverse("admin:loyalty_wallet_loyaltycard_changelist")
        return format_html(
            '<a href="{}?program__id__exact={}">{}</a>', url, program.pk, program.card_count
        )


class CardAdmin(StyledAdmin, EraseAdmin):
    """Cards. Balances are shown here and moved by transactions."""

    is_about_one_card = True
    list_display = (
        "card_number",
        "holder_name",
        "program",
        "points_balance",
        "stamps",
        "tier",
        "is_active",
    )
    list_filter = ("program", "is_active")
    list_select_related = ("program",)
    search_fields = ("card_number", "holder_name")
    ordering = ("-pk",)
    show_full_result_count = False
    list_per_page = 50
    readonly_fields = ("points_balance", "stamps", "created_at", "updated_at")

    def card_keys(self, queryset: QuerySet[Any]) -> Iterable[str]:
        return _keys_of(queryset)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        names = ("program", "card_number", "holder_name", "tier", "expires_at", "is_active")
        card = (None, {"fields": names})
        if obj is None:
            return (card,)
        balance = {
            "fields": ("points_balance", "stamps"),
            "description": _("Moved by transactions only, so that every movement is on record."),
        }
        dates = {"fields": ("created_at", "updated_at")}
        return (card, (_("Balance"), balance), (_("Dates"), dates))

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "expires_at" and field is not None:
            # Django's two boxes have no labels of their own.
            day, time = field.widget.widgets
            day.attrs["aria-label"] = _("Expires, date")
            time.attrs["aria-label"] = _("Expires, time")
        return field

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            super().save_model(request, obj, form, change)
        elif form.changed_data:
            # Only what was edited: a whole row would undo a transaction recorded meanwhile.
            obj.save(update_fields=[*form.changed_data, "updated_at"])

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        card = kwargs.get("obj")
        if card is not None:
            context |= {
                "passes": card_passes(get_card_source().key_for(card)),
                "transactions": [
                    {"row": row, "when": when(row.created_at, is_short=True)}
                    for row in card.transactions.order_by("-pk")[:MOST_TRANSACTIONS]
                ],
                "may_add_transaction": request.user.has_perm(
                    "loyalty_wallet.add_loyaltytransaction"
                ),
            }
        return super().render_change_form(request, context, *args, **kwargs)


def _keys_of(cards: QuerySet[LoyaltyCard]) -> Iterator[str]:
    """Yield the keys of these cards; the rows themselves are read only where a source asks."""
    source = get_card_source()
    if type(source).key_for is CardSource.key_for:
        keys = cards.order_by().values_list(source.key_field, flat=True)
        return (str(key) for key in keys.iterator(chunk_size=2000))
    return (source.key_for(row) for row in cards.iterator(chunk_size=2000))


class TransactionAdmin(ReadOnlyAdmin):
    """Transactions: one may be added, none changed or deleted. The balance moves with it."""

    form = TransactionForm
    fields = ("card", "kind", "points", "stamps", "reference")
    autocomplete_fields = ("card",)
    list_display = ("created", "card", "kind", "points", "stamps", "reference")
    list_filter = ("kind",)
    list_select_related = ("card",)
    search_fields = ("card__card_number", "reference")
    ordering = ("-pk",)
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("loyalty_wallet.add_loyaltytransaction")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields if obj is None else (*self.fields, "created")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if obj is None else ("created",)

    @admin.display(description=gettext_lazy("created"), ordering="created_at")
    def created(self, row: LoyaltyTransaction) -> SafeString | str:
        return when(row.created_at, is_short=True)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        card: LoyaltyCard = obj.card
        entry = card.record(obj.kind, points=obj.points, stamps=obj.stamps, reference=obj.reference)
        # What Django goes on with is the row that was written.
        obj.pk, obj.points, obj.stamps = entry.pk, entry.points, entry.stamps

    def response_post_save_add(self, request: HttpRequest, obj: Any) -> HttpResponseRedirect:
        if request.user.has_perm("loyalty_wallet.view_loyaltycard") or request.user.has_perm(
            "loyalty_wallet.change_loyaltycard"
        ):
            url = reverse("admin:loyalty_wallet_loyaltycard_change", args=[obj.card_id])
            return HttpResponseRedirect(url)
        return super().response_post_save_add(request, obj)
