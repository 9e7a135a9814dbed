"""Syncing cards again: selected ones after a question, a single one with a click.

A request never waits through a retry: with a broker a worker does the work; without one a few
passes get one attempt each, and more are only marked as due.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any

from django.contrib import admin
from django.contrib.admin import helpers
from django.contrib.admin.utils import quote, unquote
from django.contrib.auth import get_permission_codename
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.db import router, transaction
from django.db.models import QuerySet
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from .. import queueing
from ..exceptions import SelectionError
from ..models import SyncRun, WalletPass
from ..sync import queue_wallet_sync, sync_wallet_passes
from ..sync.transactions import transactions_of_a_request, without_transaction
from . import outcomes
from .base import ModelAdmin
from .journal import MOST_ENTRIES, note
from .outcomes import Outcome
from .plans import MOST_NAMES, Plan, Way
from .words import command, duration


class ResyncAdmin(ModelAdmin):
    """Offers "Re-sync selected cards" to whoever holds `resync_walletpass`."""

    actions: Sequence[str] = ("resync_cards",)
    list_of_all = ""
    """The query string of a list that leaves nothing out."""
    is_about_one_card = False
    """An object is one card, or of one: it can be synced with a click, and no question."""

    def card_keys(self, queryset: QuerySet[Any]) -> Iterable[str]:
        """Return the keys of the cards that these rows are about; repeated ones do no harm."""
        raise NotImplementedError

    def wallet_of(self, row: Any) -> str:
        """Return the alias of the one wallet that an object is about; empty for all of them."""
        return ""

    def retried_run(self, queryset: QuerySet[Any]) -> SyncRun | None:
        """Return the run that sending the cards of these rows again would repeat, if it is one."""
        return None

    def has_resync_permission(self, request: HttpRequest) -> bool:
        meta = WalletPass._meta
        codename = get_permission_codename("resync", meta)
        return request.user.has_perm(f"{meta.app_label}.{codename}")

    @admin.action(description=gettext_lazy("Re-sync selected cards"), permissions=["resync"])
    def resync_cards(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        plan = Plan.for_cards(self.card_keys(queryset))
        try:
            if request.POST.get("post") != "yes":
                return self._ask(request, plan)
            outcome = self._carry_out(request, queryset, plan)
        except ImproperlyConfigured as error:
            outcome = outcomes.misconfigured(error)
        self.message_user(request, outcome.text, outcome.level)
        return None

    def get_urls(self) -> list[URLPattern]:
        prefix = f"{self.opts.app_label}_{self.opts.model_name}"
        view = self.admin_site.admin_view(self.sync_object)
        urls = super().get_urls()
        for url in urls:
            if url.name == f"{prefix}_changelist":
                url.callback = _list_that_may_send(url.callback)
        return [path("<path:object_id>/sync/", view, name=f"{prefix}_sync"), *urls]

    @without_transaction
    def sync_object(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Sync the card of one object at once, and go back to where the button was."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        row = self.get_object(request, unquote(object_id))
        if (
            row is None
            or not self.is_about_one_card
            or not self.has_resync_permission(request)
            or not self.has_view_or_change_permission(request, row)
        ):
            raise PermissionDenied
        selected = self.get_queryset(request).filter(pk=row.pk)
        plan = Plan.for_cards(self.card_keys(selected), wallet=self.wallet_of(row))
        try:
            outcome = self._carry_out(request, selected, plan)
        except ImproperlyConfigured as error:
            outcome = outcomes.misconfigured(error)
        except SelectionError as error:
            outcome = outcomes.refused(error)
        self.message_user(request, outcome.text, outcome.level)
        return HttpResponseRedirect(self._page_to_go_back_to(request, row))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        prefix = f"admin:{self.opts.app_label}_{self.opts.model_name}"
        row = kwargs.get("obj")
        url = reverse(f"{prefix}_changelist")
        context |= {
            "may_resync": row is not None and self.has_resync_permission(request),
            "sync_url": self.is_about_one_card
            and row is not None
            and reverse(f"{prefix}_sync", args=[quote(row.pk)]),
            # Lists may show less than everything by default; the button is about any object.
            "resync_url": f"{url}?{self.list_of_all}" if self.list_of_all else url,
        }
        return super().render_change_form(request, context, *args, **kwargs)

    def _page_to_go_back_to(self, request: HttpRequest, row: Any) -> str:
        page = request.POST.get("next", "")
        is_ours = url_has_allowed_host_and_scheme(
            page, {request.get_host()}, require_https=request.is_secure()
        )
        own = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
        return page if is_ours else reverse(own, args=[quote(row.pk)])

    def _ask(self, request: HttpRequest, plan: Plan) -> HttpResponse:
        is_across = request.POST.get("select_across") == "1"
        selected = request.POST.getlist(helpers.ACTION_CHECKBOX_NAME)
        count = len(plan.keys)
        context = {
            **self.admin_site.each_context(request),
            "title": ngettext("Re-sync %(count)d card?", "Re-sync %(count)d cards?", count)
            % {"count": count},
            "opts": self.opts,
            "media": self.media,
            "plan": plan,
            "way": plan.way,
            "estimates": [
                {
                    "row": row,
                    "time": duration(row.seconds),
                    "forced_time": duration(row.forced_seconds),
                }
                for row in plan.estimates
            ],
            "command": command(plan.command.as_json()),
            "names": plan.names(),
            "unnamed": max(0, count - MOST_NAMES),
            "action_checkbox_name": helpers.ACTION_CHECKBOX_NAME,
            # A whole list is selected again by its address: one key stands for all of them, for
            # Django takes no form with more than 1,000 fields.
            "selected": selected[:1] if is_across else selected,
            "is_across": is_across,
            "list_url": request.get_full_path(),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/loyalty_wallet/resync_confirmation.html", context)

    def _carry_out(self, request: HttpRequest, queryset: QuerySet[Any], plan: Plan) -> Outcome:
        is_forced = request.POST.get("force") == "on"
        notifies = request.POST.get("notify") == "on" and plan.can_notify
        # Read before the sync: a list of open failures is another one afterwards.
        selected = list(queryset[: MOST_ENTRIES + 1])
        changes = _changes(is_forced=is_forced, notifies=notifies)
        match plan.way:
            case Way.QUEUE:
                with transaction.atomic(using=router.db_for_write(SyncRun)):
                    if not plan.is_on_record:
                        # The run is about everything that is due: an order to force must not be.
                        plan.cards.mark_due(is_forced=is_forced)
                    run = queue_wallet_sync(
                        plan.run,
                        trigger=SyncRun.Trigger.ADMIN,
                        force=is_forced and plan.is_on_record,
                        notify=notifies,
                        requested_by=request.user,
                        retry_of=self.retried_run(queryset),
                    )
                    queueing.enqueue_run(run)
                    self._log(request, selected, plan, _in_run(run.pk), changes)
                run.refresh_from_db()
                return outcomes.queued(
                    run,
                    len(plan.keys),
                    command=command(plan.command.as_json()),
                    has_live_worker=plan.has_live_worker,
                )
            case Way.SEND:
                report = sync_wallet_passes(
                    trigger=SyncRun.Trigger.ADMIN,
                    selection=plan.cards,
                    force=is_forced,
                    notify=notifies,
                    requested_by=request.user,
                    retry_of=self.retried_run(queryset),
                    max_attempts=1,
                    max_seconds=plan.seconds_to_begin,
                )
                self._log(request, selected, plan, _in_run(report.run_id), changes)
                return outcomes.sent(report, len(plan.keys))
            case _:
                with transaction.atomic(using=router.db_for_write(WalletPass)):
                    plan.cards.mark_due(is_forced=is_forced)
                    self._log(request, selected, plan, _("Re-sync: due."), changes)
                return outcomes.marked(len(plan.keys), command=command(plan.command.as_json()))

    def _log(
        self, request: HttpRequest, selected: list[Any], plan: Plan, what: str, changes: str
    ) -> None:
        """Write who asked for it into the objects' history, or once for a whole list."""
        count = len(plan.keys)
        cards = ngettext("%(count)d card", "%(count)d cards", count) % {"count": count}
        note(request, selected, " ".join(filter(None, (what, changes))), all_of_them=cards)


def _list_that_may_send(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Let a list's re-syncs go without the transaction of ATOMIC_REQUESTS, and nothing else."""

    @without_transaction
    @wraps(view)
    def listing(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if ResyncAdmin.resync_cards.__name__ in request.POST.getlist("action"):
            return view(request, *args, **kwargs)
        with transactions_of_a_request():
            return view(request, *args, **kwargs)

    return listing


def _in_run(run_id: int | None) -> str:
    return _("Re-sync: run %(number)s.") % {"number": run_id}


def _changes(*, is_forced: bool, notifies: bool) -> str:
    parts = []
    if is_forced:
        parts.append(_("Sent even if unchanged."))
    if notifies:
        parts.append(_("Customers notified."))
    return " ".join(parts)
