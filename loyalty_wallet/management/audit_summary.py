"""An audit for people: first a sentence, then what differs, last the line to go on with."""

from __future__ import annotations

from typing import TextIO

from django.core.management.base import OutputWrapper
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..models import WalletAudit

NARROWEST = 60
MOST_SHOWN = 20

_WORDS = {
    "equal": "as delivered",
    "missing": "missing",
    "different": "different",
    "unknown": "not ours",
    "due": "due anyway",
    "recent": "only just delivered",
}


def print_audit(audit: WalletAudit, stdout: TextIO | OutputWrapper) -> None:
    """Print the audit to `stdout`; coloured only on a terminal."""
    console = Console(file=stdout, highlight=False, soft_wrap=not stdout.isatty())  # type: ignore[arg-type]
    if console.width < NARROWEST:
        console.width = NARROWEST
    console.print(_sentence(audit))
    if audit.findings:
        console.print(_table(audit))
    if audit.counts["fixed"]:
        console.print("They are due now. Send them: manage.py sync_wallet_passes")
    elif audit.counts["missing"] or audit.counts["different"]:
        console.print("Let the next sync send them again: manage.py wallet_audit --fix")


def _sentence(audit: WalletAudit) -> Text:
    counts = audit.counts
    parts = [f"{counts[name]:,} {word}" for name, word in _WORDS.items() if counts[name]]
    sentence = (
        f"Audit {audit.pk} of {audit.wallet}: {counts['objects']:,} objects in "
        f"{counts['requests']:,} requests"
    )
    is_good = audit.status == WalletAudit.Status.SUCCEEDED and not (
        counts["missing"] or counts["different"]
    )
    style = "bold green" if is_good else "bold red"
    words = f": {', '.join(parts)}" if parts else ""
    return Text(f"{sentence}{words} ({audit.duration_seconds or 0:.1f} s).", style=style)


def _table(audit: WalletAudit) -> Table:
    table = Table("found", "card", "program", "object", "differs in")
    for finding in audit.findings[:MOST_SHOWN]:
        cells = (
            _WORDS[finding["kind"]],
            finding["card_id"],
            finding["program"],
            finding["remote_id"],
            ", ".join(finding["fields"]),
        )
        table.add_row(*(Text(cell) for cell in cells))
    left = len(audit.findings) - MOST_SHOWN
    if left > 0:
        table.caption = f"and {left:,} more: --json has them"
    return table
