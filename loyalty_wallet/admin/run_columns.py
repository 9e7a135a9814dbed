"""What the list and the page of runs show of each, column by column."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..conf import get_conf
from ..models import SyncRun
from . import words
from .base import ReadOnlyAdmin
from .charts import rate_bar
from .run_pages import explain, failures_url, related_runs


class RunColumns(ReadOnlyAdmin):
    """The columns; a run that has no totals yet shows its batches so far, as `pass_counts`."""

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
    def duration(self, run: SyncRun) -> SafeString | str:
        most = get_conf().alert_duration_seconds
        shown = words.duration(run.duration_seconds)
        if run.duration_seconds is None or run.duration_seconds <= most:
            return shown
        title = _("More than %(seconds)s s") % {"seconds": f"{most:g}"}
        return words.badge(f"{shown} ▲", words.BAD, title=title)

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
            count = _failed_cards(run)
            shown = str(count)
        else:
            count = run.pass_counts["failed"] + run.pass_counts["deferred"]
            shown = _so_far(count)
        return words.link(failures_url(run), shown) if count else shown

    @admin.display(description=gettext_lazy("failure rate"))
    def failure_rate(self, run: SyncRun) -> SafeString | str:
        if not run.card_counts or not run.card_counts["selected"]:
            return words.NOTHING
        selected = run.card_counts["selected"]
        return rate_bar(_failed_cards(run), selected, most=get_conf().alert_failure_rate)

    @admin.display(description=gettext_lazy("what happened"))
    def explanation(self, run: SyncRun) -> SafeString | str:
        return format_html_join("", "<p>{}</p>", ((line,) for line in explain(run)))

    @admin.display(description=gettext_lazy("related runs"))
    def related_runs(self, run: SyncRun) -> SafeString | str:
        lines = related_runs(run)
        return format_html_join("", "<p>{}</p>", ((line,) for line in lines)) or words.NOTHING


def _failed_cards(run: SyncRun) -> int:
    return int(run.card_counts["failed"] + run.card_counts["deferred"])


def _so_far(count: int) -> str:
    return _("%(count)d so far") % {"count": count} if count else words.NOTHING
