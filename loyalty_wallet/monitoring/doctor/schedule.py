"""Who runs the sync, how often, and where all processes share the limits."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils import timezone
from django.utils.translation import gettext as _

from ...conf import get_conf
from ...queueing import has_broker
from ...sync.alarms.alerts import MOST_INTERVALS, last_success
from ...sync.alarms.beat import Schedule, read_schedule
from ...sync.alarms.notices import describe_span
from ..setups import usable_wallets
from .findings import Finding, Grade


def examine_schedule() -> Iterator[Finding]:
    schedule = read_schedule()
    if schedule.is_installed:
        yield from _beat(schedule)
    else:
        yield _cron(schedule)
    if not has_broker():
        yield Finding(
            code="no_broker",
            grade=Grade.NOTE,
            text=_("There is no broker: changes reach the phones with the next run only."),
            fix=_("For real time, set up Celery with Redis, and start a worker."),
        )


def examine_limits() -> Iterator[Finding]:
    if not any(wallet.requests_per_second for wallet in usable_wallets().values()):
        return
    where = "Redis" if get_conf().rate_limit_redis_url else _("the database")
    yield Finding(
        code="limits",
        grade=Grade.GOOD,
        text=_("All processes share the rate limits through %(where)s.") % {"where": where},
    )


def _beat(schedule: Schedule) -> Iterator[Finding]:
    if not schedule.is_enabled:
        # The status says so, too, and it comes last.
        return
    now = timezone.now()
    patience = MOST_INTERVALS * (schedule.interval_seconds or 0)
    silence = (now - schedule.last_run_at).total_seconds() if schedule.last_run_at else None
    if patience and silence is not None and silence > patience:
        yield Finding(
            code="beat_silent",
            grade=Grade.ERROR,
            text=_("Celery beat has not started the sync for %(span)s.")
            % {"span": describe_span(silence)},
            fix=(
                "celery -A yourproject beat "
                "--scheduler django_celery_beat.schedulers:DatabaseScheduler"
            ),
        )
        return
    yield Finding(
        code="schedule",
        grade=Grade.GOOD,
        text=_("Celery beat has the sync: %(schedule)s.") % {"schedule": schedule.description},
    )


def _cron(schedule: Schedule) -> Finding:
    interval = get_conf().run_interval.total_seconds()
    succeeded_at = last_success()
    age = (timezone.now() - succeeded_at).total_seconds() if succeeded_at else None
    if age is not None and age <= MOST_INTERVALS * interval:
        return Finding(
            code="schedule",
            grade=Grade.GOOD,
            text=_("The last sync succeeded %(span)s ago; cron runs it, it seems.")
            % {"span": describe_span(max(0, round(age)))},
        )
    beat = _("with Celery beat: manage.py install_wallet_schedule")
    cron = _("with cron: 0 * * * * manage.py sync_wallet_passes --no-progress")
    return Finding(
        code="schedule",
        grade=Grade.ERROR,
        text=_("Nothing runs the sync."),
        fix=f"{beat}; {cron}" if schedule.has_beat else cron,
    )
