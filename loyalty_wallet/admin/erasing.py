"""Erasing cards from the wallets, after a question: it cannot be undone."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.contrib.auth import get_permission_codename
from django.db import router, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from ..models import AppleRegistration, WalletPass
from ..sync.erasure import erase_cards
from ..sync.outbox import in_chunks
from .actions import ResyncAdmin
from .journal import MOST_ENTRIES, note

MOST_NAMES = 20


class EraseAdmin(ResyncAdmin):
    """Offers "Erase selected cards from the wallets" to whoever holds `erase_walletpass`."""

    actions = (*ResyncAdmin.actions, "erase_cards")

    def has_erase_permission(self, request: HttpRequest) -> bool:
        meta = WalletPass._meta
        codename = get_permission_codename("erase", meta)
        return request.user.has_perm(f"{meta.app_label}.{codename}")

    @admin.action(
        description=gettext_lazy("Erase selected cards from the wallets"), permissions=["erase"]
    )
    def erase_cards(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        keys = list(dict.fromkeys(str(key) for key in self.card_keys(queryset)))
        if request.POST.get("post") != "yes":
            return self._ask_to_erase(request, queryset, keys)
        logged = list(queryset[: MOST_ENTRIES + 1])
        count = len(keys)
        cards = ngettext("%(count)d card", "%(count)d cards", count) % {"count": count}
        with transaction.atomic(using=router.db_for_write(WalletPass)):
            erase_cards(keys)
            note(request, logged, _("Erased from the wallets."), all_of_them=cards)
        self.message_user(
            request,
            ngettext(
                "%(count)d card is being erased from the wallets: a worker or the next run sees to "
                "it, until it is done.",
                "%(count)d cards are being erased from the wallets: a worker or the next run sees "
                "to it, until it is done.",
                count,
            )
            % {"count": count},
            messages.SUCCESS,
        )
        return None

    def _ask_to_erase(
        self, request: HttpRequest, queryset: QuerySet[Any], keys: list[str]
    ) -> HttpResponse:
        count = len(keys)
        is_across = request.POST.get("select_across") == "1"
        selected = request.POST.getlist(helpers.ACTION_CHECKBOX_NAME)
        passes = phones = 0
        for chunk in in_chunks(keys):
            held = WalletPass.objects.for_cards(chunk)
            passes += held.count()
            registrations = AppleRegistration.objects.filter(wallet_pass__in=held)
            phones += registrations.values("device").distinct().count()
        context = {
            **self.admin_site.each_context(request),
            "title": ngettext(
                "Erase %(count)d card from the wallets?",
                "Erase %(count)d cards from the wallets?",
                count,
            )
            % {"count": count},
            "opts": self.opts,
            "media": self.media,
            "passes": passes,
            "phones": phones,
            "names": [str(row) for row in queryset[:MOST_NAMES]],
            "unnamed": max(0, queryset.count() - MOST_NAMES),
            "action_checkbox_name": helpers.ACTION_CHECKBOX_NAME,
            # A whole list is selected again by its address: Django takes no longer form.
            "selected": selected[:1] if is_across else selected,
            "is_across": is_across,
            "list_url": request.get_full_path(),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/loyalty_wallet/erase_confirmation.html", context)
