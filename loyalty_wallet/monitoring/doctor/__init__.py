"""From "nothing works" to the line that mends it: one check after the other, each for itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from django.utils.translation import gettext as _

from . import apple, google, online, schedule, setup
from .findings import Finding, Grade

__all__ = ["Finding", "Grade", "examine"]

logger = logging.getLogger("loyalty_wallet.monitoring")

Check = Callable[[], Iterator[Finding]]

WITHOUT_DATABASE: tuple[Check, ...] = (
    setup.examine_settings,
    google.examine_google,
    apple.examine_apple,
)
WITH_DATABASE: tuple[Check, ...] = (
    setup.examine_cards,
    schedule.examine_schedule,
    schedule.examine_limits,
    setup.examine_state,
)
ONLINE: tuple[Check, ...] = (
    online.examine_providers,
    online.examine_web_service,
    online.examine_callback,
    online.examine_worker,
    online.examine_redis,
)


def examine(*, is_online: bool = False) -> list[Finding]:
    """Return what is found, good and bad, in the order in which one would look.

    `is_online` asks Google, Apple, our own web service by its public URL, Redis and the workers.
    """
    found: list[Finding] = []
    for check in WITHOUT_DATABASE:
        found += _run(check)
    database = _run(setup.examine_database)
    found += database
    if not any(finding.grade.is_bad for finding in database):
        for check in (*WITH_DATABASE, *(ONLINE if is_online else ())):
            found += _run(check)
    return found


def _run(check: Check) -> list[Finding]:
    try:
        return list(check())
    except Exception as error:
        # The other checks may say why.
        logger.exception("The check %s broke.", check.__name__)
        return [
            Finding(
                code="broken_check",
                grade=Grade.ERROR,
                text=_("%(check)s could not be carried out: %(error)s.")
                % {"check": check.__name__, "error": type(error).__name__},
                fix=_("Look up the traceback in the log."),
            )
        ]
