"""An alarm in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from django.utils import formats
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext

from ...models import SyncAlert

REMEDIES = {
    "failure_rate": gettext_noop("Look at the run's failures by code: one cause has most of them."),
    "duration": gettext_noop(
        "See whether the provider is slow or more cards than usual were due; the cards are right."
    ),
    "failed_cards": gettext_noop("Look at the run's failures: each code has its remedy."),
    "no_recent_success": gettext_noop(
        "See whether the scheduler and a worker are alive, then run: manage.py sync_wallet_passes"
    ),
    "oldest_due": gettext_noop(
        "A customer sees an old balance. Look up why the card fails, or whether runs keep up."
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alarm that was raised or, with `resolved_at`, is over. Times are seconds.

    `value` is what was measured then, `run_id` the run that raised it, None for an alarm that no
    run has raised. This is what each of ALERT_HANDLERS is called with.
    """

    code: str
    value: float
    threshold: float
    run_id: int | None
    raised_at: datetime
    resolved_at: datetime | None = None

    @classmethod
    def of(
        cls, row: SyncAlert, *, value: float | None = None, threshold: float | None = None
    ) -> Self:
        return cls(
            code=row.code,
            value=row.value if value is None else value,
            threshold=row.threshold if threshold is None else threshold,
            run_id=row.run_id,
            raised_at=row.raised_at,
            resolved_at=row.resolved_at,
        )

    @property
    def is_resolved(self) -> bool:
        return self.resolved_at is not None

    @property
    def sentence(self) -> str:
        """What was measured, for people."""
        return describe_alert(self.code, self.value, self.threshold)

    @property
    def remedy(self) -> str:
        """What to do about it, in one sentence."""
        return _(REMEDIES[self.code]) if self.code in REMEDIES else ""


def describe_alert(code: str, value: float, threshold: float) -> str:
    """Say in one sentence what was measured, and what the limit is."""
    match code:
        case "failure_rate":
            return _("%(value)s %% of the cards failed (limit %(limit)s %%).") % {
                "value": formats.number_format(f"{value * 100:.1f}"),
                "limit": formats.number_format(f"{threshold * 100:g}"),
            }
        case "failed_cards":
            return ngettext(
                "%(count)d card failed (limit %(limit)d).",
                "%(count)d cards failed (limit %(limit)d).",
                int(value),
            ) % {"count": value, "limit": threshold}
        case "duration":
            text = _("The run took %(value)s (limit %(limit)s).")
        case "no_recent_success":
            text = _("No sync has succeeded for %(value)s (limit %(limit)s).")
        case "oldest_due":
            text = _("A card has been wrong for %(value)s (limit %(limit)s).")
        case _unknown:
            return f"{code}: {value:g} (limit {threshold:g})."
    return text % {"value": describe_span(value), "limit": describe_span(threshold)}


def describe_span(seconds: float) -> str:
    """Return a length of time in its two largest units: `3 d 4 h`, `2 h 5 min`, `42 s`."""
    if seconds < 60:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    units = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    first = next(index for index, (count, _unit) in enumerate(units) if count)
    return " ".join(f"{count} {unit}" for count, unit in units[first : first + 2] if count)


def mail_of(alert: Alert) -> tuple[str, str]:
    """Return the subject and the text of the mail that tells of it."""
    if alert.resolved_at is not None:
        subject = _("Wallet sync, resolved: %(sentence)s") % {"sentence": alert.sentence}
        span = describe_span((alert.resolved_at - alert.raised_at) / timedelta(seconds=1))
        lines = [_("The alarm is over. It lasted %(span)s.") % {"span": span}]
    else:
        subject = _("Wallet sync: %(sentence)s") % {"sentence": alert.sentence}
        lines = [alert.sentence, alert.remedy]
        if alert.run_id is not None:
            lines.append(_("Run %(number)s") % {"number": alert.run_id})
    lines += ["", f"alert={alert.code} raised_at={alert.raised_at.isoformat(timespec='seconds')}"]
    return subject, "\n".join(lines)
