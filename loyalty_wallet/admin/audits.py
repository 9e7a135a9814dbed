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
    WalletAudit.Status.SUCCEEDED: GOOD,
    WalletAudit.Status.FAILED: BAD,
    WalletAudit.Status.INTERRUPTED: IDLE,
}


class AuditAdmin(ReadOnlyAdmin):
    """One audit of one wallet."""

    list_display = (
        "outcome",
        "wallet",
        "program_key",
        "objects",
        "missing",
        "different",
        "unknown",
        "started",
    )
    list_filter = ("status", "wallet")
    readonly_fields = (
        "outcome",
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
            {
                "fields": (
                    "outcome",
                    "wallet",
                    "program_key",
                    "is_fixing",
                    "started",
                    "finished",
                    "error",
                )
            },
        ),
        (
            gettext_lazy("What was compared"),
            {"fields": ("objects", "equal", "due", "recent", "requests")},
        ),
        (
            gettext_lazy("What was found"),
            {"fields": ("missing", "different", "unknown", "fixed", "finding_table")},
        ),
    )

    @admin.display(description=gettext_lazy("outcome"), ordering="status")
    def outcome(self, row: WalletAudit) -> SafeString:
        status = WalletAudit.Status(row.status)
        if status == WalletAudit.Status.SUCCEEDED and _count(row, "missing", "different"):
            if _count(row, "missing", "different") == _count(row, "fixed"):
                return badge(_("made due"), WAITING)
            return badge(_("differs"), BAD)
        word = _("as delivered") if status == WalletAudit.Status.SUCCEEDED else status.label
        return badge(str(word), _TONES[status], title=row.error)

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


def _number(row: WalletAudit, name: str) -> str:
    return f"{_count(row, name):,}"
