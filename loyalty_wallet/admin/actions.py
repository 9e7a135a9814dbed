"""The action that syncs selected cards again: asks first, then queues, sends or marks.

A request never waits through a retry: with a broker a worker does the work; without one a few
passes get one attempt each, and more are only marked as due.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.contrib import admin
from django.contrib.admin import helpers
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_permission_codename
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ImproperlyConfigured
from django.db import router, transaction
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from .. import queueing
from ..conf import get_conf
from ..models import SyncRun, WalletPass
from ..sources import get_card_source
from ..sync import Selection, queue_wallet_sync, sync_wallet_passes
from ..sync.outbox import in_chunks
from . import outcomes
from .base import ModelAdmin
from .outcomes import Outcome

MOST_SENT_AT_ONCE = 25
"""Passes that one request sends where no worker can: one attempt each, well below a time limit."""
MOST_SECONDS = 10
MOST_CARDS_ON_RUN = 10_000
"""A run on record keeps the keys of its cards; above this the passes are only marked as due."""
MOST_NAMES = 20
MOST_LOG_ENTRIES = 200
"""What a person can tick on a page is logged object by object, a whole list in one entry."""
REQUESTS_PER_ATTEMPT = 2
"""An update, and an insert where the provider does not know the pass."""


class Way(StrEnum):
    """How the selected cards are going to be synced."""

    QUEUE = "queue"
    SEND = "send"
    MARK = "mark"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What syncing these cards again means, worked out before and after the question."""

    keys: list[str]
    passes: dict[str, int]
    """How many passes there are, by configured wallet."""
    lacking: int
    """How many passes the cards could get at most, where their programs issue at once."""
    has_broker: bool

    @classmethod
    def for_cards(cls, card_keys: Iterable[str]) -> Plan:
        keys = list(dict.fromkeys(str(key) for key in card_keys))
        counts: Counter[str] = Counter()
        for chunk in in_chunks(keys):
            passes = WalletPass.objects.for_cards(chunk).values("wallet")
            counts.update(dict(passes.annotate(passes=Count("pk")).values_list("wallet", "passes")))
        passes_by_wallet = {alias: counts[alias] for alias in get_conf().wallets}
        return cls(
            keys=keys,
            passes=passes_by_wallet,
            lacking=sum(len(keys) - count for count in passes_by_wallet.values()),
            has_broker=queueing.has_broker(),
        )

    @property
    def total(self) -> int:
        return sum(self.passes.values())

    @property
    def way(self) -> Way:
        if len(self.keys) > MOST_CARDS_ON_RUN:
            return Way.MARK
        if self.has_broker:
            return Way.QUEUE
        return Way.SEND if self.total + self.lacking <= MOST_SENT_AT_ONCE else Way.MARK

    @property
    def attempts(self) -> int:
        return 1 if self.way == Way.SEND else len(get_conf().retry_delays) + 1

    @property
    def most_requests(self) -> int:
        return (self.total + self.lacking) * self.attempts * REQUESTS_PER_ATTEMPT

    def names(self) -> list[str]:
        """Return the names of the first cards, as their passes or their own rows have them."""
        first = self.keys[:MOST_NAMES]
        labels = WalletPass.objects.for_cards(first).exclude(card_label="")
        names = dict(labels.values_list("card_key", "card_label"))
        source = get_card_source()
        if unnamed := [key for key in first if key not in names]:
            names.update((source.key_for(row), str(row)) for row in source.rows_for(unnamed))
        return [names.get(key, key) for key in first]


class ResyncAdmin(ModelAdmin):
    """Offers "Re-sync selected cards" to whoever holds `resync_walletpass`."""

    actions: Sequence[str] = ("resync_cards",)
    list_of_all = ""
    """The query string of a list that leaves nothing out."""

    def card_keys(self, queryset: QuerySet[Any]) -> Iterable[str]:
        """Return the keys of the cards that these rows are about; repeated ones do no harm."""
        raise NotImplementedError

    def retried_run(self, queryset: QuerySet[Any]) -> SyncRun | None:
        """Return the run that sending the cards of these rows again would repeat, if it is one."""
        return None

    def has_resync_permission(self, request: HttpRequest) -> bool:
        meta = WalletPass._meta
        codename = get_permission_codename("resync", meta)
        return request.user.has_perm(f"{meta.app_label}.{codename}")

    @admin.action(description=gettext_lazy("Re-sync selected cards"), permissions=["resync"])
    def resync_cards(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        try:
            plan = Plan.for_cards(self.card_keys(queryset))
            if request.POST.get("post") != "yes":
                return self._ask(request, plan)
            outcome = self._carry_out(request, queryset, plan)
        except ImproperlyConfigured as error:
            outcome = outcomes.misconfigured(error)
        self.message_user(request, outcome.text, outcome.level)
        return None

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        url = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
        context |= {
            "may_resync": self.has_resync_permission(request),
            # Lists may show less than everything by default; the button is about any object.
            "resync_url": f"{url}?{self.list_of_all}" if self.list_of_all else url,
        }
        return super().render_change_form(request, context, *args, **kwargs)

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
        # Read before the sync: a list of open failures is another one afterwards.
        selected = list(queryset[: MOST_LOG_ENTRIES + 1])
        selection = Selection.of_cards(plan.keys)
        match plan.way:
            case Way.QUEUE:
                with transaction.atomic(using=router.db_for_write(SyncRun)):
                    run = queue_wallet_sync(
                        selection,
                        trigger=SyncRun.Trigger.ADMIN,
                        force=is_forced,
                        requested_by=request.user,
                        retry_of=self.retried_run(queryset),
                    )
                    queueing.enqueue_run(run)
                    self._log(request, selected, plan, is_forced, run.pk)
                run.refresh_from_db()
                return outcomes.queued(run, len(plan.keys))
            case Way.SEND:
                report = sync_wallet_passes(
                    trigger=SyncRun.Trigger.ADMIN,
                    selection=selection,
                    force=is_forced,
                    requested_by=request.user,
                    retry_of=self.retried_run(queryset),
                    max_attempts=1,
                    max_seconds=MOST_SECONDS,
                )
                self._log(request, selected, plan, is_forced, report.run_id)
                return outcomes.sent(report, len(plan.keys))
            case _:
                with transaction.atomic(using=router.db_for_write(WalletPass)):
                    selection.mark_due(is_forced=is_forced)
                    self._log(request, selected, plan, is_forced, None)
                return outcomes.marked(len(plan.keys), has_broker=plan.has_broker)

    def _log(
        self,
        request: HttpRequest,
        selected: list[Any],
        plan: Plan,
        is_forced: bool,
        run_id: int | None,
    ) -> None:
        """Write who asked for it into the objects' history, or once for a whole list."""
        change = (
            _("Re-sync: run %(number)s.") % {"number": run_id} if run_id else _("Re-sync: due.")
        )
        if is_forced:
            change += " " + _("Sent even if unchanged.")
        user_id: Any = request.user.pk
        if len(selected) <= MOST_LOG_ENTRIES:
            LogEntry.objects.log_actions(user_id, selected, CHANGE, change)
            return
        count = len(plan.keys)
        LogEntry.objects.create(
            user_id=user_id,
            content_type=ContentType.objects.get_for_model(self.model),
            object_repr=ngettext("%(count)d card", "%(count)d cards", count) % {"count": count},
            action_flag=CHANGE,
            change_message=change,
        )
