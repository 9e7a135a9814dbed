"""Two actions on failures: leave their passes aside, and take up again what is set aside.

A pass that is set aside stays due but no run tries it until its card changes or a person asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.db import router, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy, ngettext, ngettext_lazy

from ..models import WalletPass
from ..sync.outbox import CHUNK_SIZE
from . import words
from .actions import ResyncAdmin
from .journal import MOST_ENTRIES, note

MOST_NAMES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One of the two actions, in words."""

    action: str
    question: Any
    """Plural over the number of passes."""
    consequence: Promise
    button: Promise
    change: Promise
    done: Any
    """Plural over the number of passes."""
    nothing: Promise


SET_ASIDE = Step(
    action="set_aside",
    question=ngettext_lazy("Set %(count)d pass aside?", "Set %(count)d passes aside?", "count"),
    consequence=gettext_lazy(
        "No run tries them until the card changes or somebody takes them up again. Their phones "
        "keep showing what was delivered last."
    ),
    button=gettext_lazy("Yes, set aside"),
    change=gettext_lazy("Pass set aside."),
    done=ngettext_lazy("%(count)d pass is set aside.", "%(count)d passes are set aside.", "count"),
    nothing=gettext_lazy(
        "Nothing to set aside: these passes are right, set aside already, or being sent."
    ),
)
TAKE_UP = Step(
    action="take_up",
    question=ngettext_lazy(
        "Take %(count)d pass up again?", "Take %(count)d passes up again?", "count"
    ),
    consequence=gettext_lazy(
        "They are due again: the next run tries them, and their failing runs are counted anew."
    ),
    button=gettext_lazy("Yes, take up again"),
    change=gettext_lazy("Pass taken up again."),
    done=ngettext_lazy(
        "%(count)d pass is taken up again; the next run tries it.",
        "%(count)d passes are taken up again; the next run tries them.",
        "count",
    ),
    nothing=gettext_lazy("Nothing to take up: none of these passes is set aside."),
)


class SetAsideAdmin(ResyncAdmin):
    """Offers both actions to whoever holds `resync_walletpass`, after a question."""

    @admin.action(
        description=gettext_lazy("Set the passes of selected failures aside"),
        permissions=["resync"],
    )
    def set_aside(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._step(request, queryset, SET_ASIDE)

    @admin.action(
        description=gettext_lazy("Take the passes of selected failures up again"),
        permissions=["resync"],
    )
    def take_up(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return self._step(request, queryset, TAKE_UP)

    def _step(
        self, request: HttpRequest, failures: QuerySet[Any], step: Step
    ) -> HttpResponse | None:
        # Read before anything changes: a list may show other failures afterwards.
        chosen = list(failures.order_by().values_list("wallet_pass_id", flat=True).distinct())
        codes = {pk: code for part in _batches(chosen) for pk, code in _eligible(part, step)}
        if not codes:
            self.message_user(request, str(step.nothing), messages.WARNING)
            return None
        if request.POST.get("post") != "yes":
            return self._ask_about(request, codes, step)
        logged = list(failures.select_related("wallet_pass")[: MOST_ENTRIES + 1])
        with transaction.atomic(using=router.db_for_write(WalletPass)):
            count = sum(_carry_out(part, step) for part in _batches(list(codes)))
            note(
                request,
                logged,
                str(step.change),
                all_of_them=ngettext("%(count)d pass", "%(count)d passes", count)
                % {"count": count},
            )
        self.message_user(request, str(step.done % {"count": count}), messages.SUCCESS)
        return None

    def _ask_about(self, request: HttpRequest, codes: dict[int, str], step: Step) -> HttpResponse:
        """Ask about these passes, which are told with what each failed with last."""
        pks = list(codes)
        is_across = request.POST.get("select_across") == "1"
        selected = request.POST.getlist(helpers.ACTION_CHECKBOX_NAME)
        context = {
            **self.admin_site.each_context(request),
            "title": str(step.question % {"count": len(pks)}),
            "opts": self.opts,
            "media": self.media,
            "step": step,
            "codes": [
                {"code": code or "-", "passes": passes, "remedy": words.remedy(code)}
                for code, passes in Counter(codes.values()).most_common()
            ],
            "names": [str(row) for row in WalletPass.objects.filter(pk__in=pks[:MOST_NAMES])],
            "unnamed": max(0, len(pks) - MOST_NAMES),
            "action_checkbox_name": helpers.ACTION_CHECKBOX_NAME,
            # A whole list is selected again by its address: Django takes no longer form.
            "selected": selected[:1] if is_across else selected,
            "is_across": is_across,
            "list_url": request.get_full_path(),
        }
        request.current_app = self.admin_site.name
        template = "admin/loyalty_wallet/set_aside_confirmation.html"
        return TemplateResponse(request, template, context)


def _batches(pks: list[int]) -> Iterator[list[int]]:
    """Yield the keys in lists that every database takes in one statement."""
    for start in range(0, len(pks), CHUNK_SIZE):
        yield pks[start : start + CHUNK_SIZE]


def _eligible(pks: list[int], step: Step) -> list[tuple[int, str]]:
    """Return the passes that the step is for, with what they failed with last."""
    return list(_passes(pks, step).order_by().values_list("pk", "last_code"))


def _passes(pks: list[int], step: Step) -> Any:
    passes = WalletPass.objects.filter(pk__in=pks)
    # One that a worker holds at this moment is left to it: it may be right in a second.
    if step is TAKE_UP:
        return passes.set_aside()
    # What is being erased is tried until it is done.
    return passes.due().unleased().exclude(state=WalletPass.State.ERASING)


def _carry_out(pks: list[int], step: Step) -> int:
    passes = _passes(pks, step)
    if step is TAKE_UP:
        return int(passes.touch())
    return int(passes.update(state=WalletPass.State.SET_ASIDE))
