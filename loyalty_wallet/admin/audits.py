"""Drift audits: what Google really had, and what of it was not as it had been delivered."""

from __future__ import annotations

from django.contrib import admin
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..models import WalletAudit
from ..sources import get_card_source
from .base import ReadOnlyAdmin
from .words import BAD, GOOD, IDLE, NOTHING, WAITING, badge, link, when

_TONES = {
    WalletAudit.Status.RUNNING: WAITING,
    WalletAudit.Status.FAILED: BAD,
    WalletAudit.Status.INTERRUPTED: IDLE,
}


class AuditAdmin(ReadOnlyAdmin):
    """One audit of one wallet."""

    list_display = (
        "outcome",
        "started_short",
        "missing",
        "different",
        "unknown",
        "objects",
        "wallet",
        "program",
    )
    list_filter = ("status", "wallet")
    show_facets = admin.ShowFacets.NEVER
    readonly_fields = (
        "outcome",
        "next_step",
        "program",
        "started",
        "finished",
        "objects",
        "equal",
        "due",
        "recent",
        "requests",
        "missing",
        "different",
        "unknown",
        "fixed",
        "finding_table",
    )
    show_full_result_count = False
    list_per_page = 50
    fieldsets = (
        (
            None,
            {"fields": ("outcome", "next_step", "wallet", "program", "started", "finished")},
        ),
        (
            gettext_lazy("What was found"),
            {"fields": ("missing", "different", "unknown", "fixed", "finding_table")},
        ),
        (
            gettext_lazy("What was compared"),
            {"fields": ("objects", "equal", "due", "recent", "requests")},
        ),
    )

    @admin.display(description=gettext_lazy("outcome"), ordering="status")
    def outcome(self, row: WalletAudit) -> SafeString:
        status = WalletAudit.Status(row.status)
        if status != WalletAudit.Status.SUCCEEDED:
            return badge(str(status.label), _TONES[status], title=row.error)
        if _to_do(row):
            return badge(_("differs"), BAD)
        if _count(row, "missing", "different"):
            return badge(_("made due"), WAITING)
        return badge(_("as delivered"), GOOD)

    @admin.display(description=gettext_lazy("what to do"))
    def next_step(self, row: WalletAudit) -> SafeString | str:
        if row.error:
            return row.error
        if _to_do(row):
            return format_html(
                "{} <code>manage.py wallet_audit --fix</code>",
                _("Let the next sync send again what is missing or different:"),
            )
        if _count(row, "missing", "different"):
            return _("Nothing: the next sync sends again what was missing or different.")
        return _("Nothing.") if row.finished_at else NOTHING

    @admin.display(description=gettext_lazy("program"))
    def program(self, row: WalletAudit) -> str:
        return row.program_key or _("all")

    @admin.display(description=gettext_lazy("objects"))
    def objects(self, row: WalletAudit) -> str:
        return _number(row, "objects")

    @admin.display(description=gettext_lazy("as delivered"))
    def equal(self, row: WalletAudit) -> str:
        return _number(row, "equal")

    @admin.display(description=gettext_lazy("due anyway"))
    def due(self, row: WalletAudit) -> str:
        return _number(row, "due")

    @admin.display(description=gettext_lazy("only just delivered"))
    def recent(self, row: WalletAudit) -> str:
        return _number(row, "recent")

    @admin.display(description=gettext_lazy("requests"))
    def requests(self, row: WalletAudit) -> str:
        return _number(row, "requests")

    @admin.display(description=gettext_lazy("missing"))
    def missing(self, row: WalletAudit) -> str:
        return _number(row, "missing")

    @admin.display(description=gettext_lazy("different"))
    def different(self, row: WalletAudit) -> str:
        return _number(row, "different")

    @admin.display(description=gettext_lazy("not ours"))
    def unknown(self, row: WalletAudit) -> str:
        return _number(row, "unknown")

    @admin.display(description=gettext_lazy("made due"))
    def fixed(self, row: WalletAudit) -> str:
        return _number(row, "fixed")

    @admin.display(description=gettext_lazy("started"), ordering="started_at")
    def started(self, row: WalletAudit) -> SafeString | str:
        return when(row.started_at)

    @admin.display(description=gettext_lazy("started"), ordering="started_at")
    def started_short(self, row: WalletAudit) -> SafeString | str:
        return when(row.started_at, is_short=True)

    @admin.display(description=gettext_lazy("finished"))
    def finished(self, row: WalletAudit) -> SafeString | str:
        return when(row.finished_at)

    @admin.display(description=gettext_lazy("the first of them"))
    def finding_table(self, row: WalletAudit) -> SafeString | str:
        if not row.findings:
            return NOTHING
        words = {
            "missing": _("missing"),
            "different": _("different"),
            "unknown": _("not ours"),
        }
        source = get_card_source()
        lines = format_html_join(
            "",
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            (
                (
                    words.get(finding["kind"], finding["kind"]),
                    link(source.admin_url(finding["card_id"]), finding["card_id"])
                    if finding["card_id"]
                    else NOTHING,
                    finding["remote_id"],
                    ", ".join(finding["fields"]) or NOTHING,
                )
                for finding in row.findings
            ),
        )
        return format_html(
            '<div class="lw-scroll"><table><thead><tr><th>{}</th><th>{}</th><th>{}</th><th>{}</th>'
            "</tr></thead><tbody>{}</tbody></table></div>",
            _("found"),
            _("card"),
            _("object"),
            _("differs in"),
            lines,
        )


def _count(row: WalletAudit, *names: str) -> int:
    return sum(row.counts.get(name, 0) for name in names)


def _to_do(row: WalletAudit) -> int:
    return _count(row, "missing", "different") - _count(row, "fixed")


def _number(row: WalletAudit, name: str) -> str:
    return f"{_count(row, name):,}"
