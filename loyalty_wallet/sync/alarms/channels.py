"""Who is told of an alarm: the log, the admins' mail, the project's handlers, receivers of signals.

An alarm's row names who still has to be told, so that nobody misses it when a process dies
meanwhile, or a mail server is away: `tell_again` comes back to those, and to nobody else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import timedelta
from functools import partial

from django.core.mail import mail_admins
from django.utils import timezone
from django.utils.module_loading import import_string

from ...conf import get_conf
from ...models import SyncAlert
from ...signals import alert_raised, alert_resolved
from .notices import Alert, mail_of

logger = logging.getLogger("loyalty_wallet")

AGAIN_AFTER = timedelta(minutes=2)
"""Longer than a patient mail server takes: by then, whoever was telling has ended or died."""
GIVE_UP_AFTER = timedelta(days=1)


def note_untold(row: SyncAlert) -> None:
    """Put down on the row, which is not saved here, that nobody knows of its state yet."""
    row.untold = [name for name, _ in _channels()]
    row.tell_again_at = timezone.now() + AGAIN_AFTER


def tell(row: SyncAlert, alert: Alert) -> None:
    """Tell all who do not know yet; who cannot be told keeps nobody else from it."""
    missed = [
        name for name, send in _channels() if name in row.untold and not _told(name, send, alert)
    ]
    # Unless the alarm is over by now, or another process is at it.
    mine = SyncAlert.objects.filter(pk=row.pk, tell_again_at=row.tell_again_at)
    mine.update(untold=missed, tell_again_at=row.tell_again_at if missed else None)


def tell_again() -> None:
    """Come back, for a day, to those who could not be told: at most one process at a time."""
    now = timezone.now()
    for row in SyncAlert.objects.filter(tell_again_at__lt=now):
        gives_up = now - (row.resolved_at or row.raised_at) > GIVE_UP_AFTER
        again_at = None if gives_up else now + AGAIN_AFTER
        mine = SyncAlert.objects.filter(pk=row.pk, tell_again_at=row.tell_again_at)
        if not mine.update(tell_again_at=again_at):
            continue
        if gives_up:
            logger.error("No longer told of the alert %s: %s", row.code, ", ".join(row.untold))
        else:
            row.tell_again_at = again_at
            tell(row, Alert.of(row))


def _channels() -> Iterator[tuple[str, Callable[[Alert], object]]]:
    conf = get_conf()
    yield "log", _log
    if conf.alert_mail:
        yield "mail", _mail
    for path in conf.alert_handlers:
        yield path, partial(_call, path)
    yield "signal", _signal


def _told(name: str, send: Callable[[Alert], object], alert: Alert) -> bool:
    try:
        send(alert)
    except Exception:
        logger.exception("%s could not be told of the alert %s.", name, alert.code)
        return False
    return True


def _log(alert: Alert) -> None:
    logger.log(
        logging.INFO if alert.is_resolved else logging.ERROR,
        "alert=%s state=%s run=%s value=%.4g threshold=%.4g: %s",
        alert.code,
        "resolved" if alert.is_resolved else "raised",
        alert.run_id,
        alert.value,
        alert.threshold,
        alert.sentence,
        extra=asdict(alert),
    )


def _mail(alert: Alert) -> None:
    subject, body = mail_of(alert)
    mail_admins(subject, body)


def _call(path: str, alert: Alert) -> None:
    import_string(path)(alert)


def _signal(alert: Alert) -> None:
    signal = alert_resolved if alert.is_resolved else alert_raised
    signal.send_robust(sender=SyncAlert, alert=alert)
