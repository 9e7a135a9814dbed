"""`wallet-status/`: the state of everything for monitors, as JSON without names, ids or paths.

Denied unless a member of the staff asks, or a request brings the token of the settings. An answer
takes five seconds at most, whatever the providers do.
"""

from __future__ import annotations

import logging
from datetime import datetime
from http import HTTPStatus
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseFailure
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import cache_control
from django.views.decorators.csrf import csrf_exempt

from ..conf import get_conf
from ..models import SyncRun
from ..monitoring.beat import Schedule
from ..monitoring.probes import run_probes
from ..monitoring.problems import Level
from ..monitoring.status import Status, WalletStatus, read_status

logger = logging.getLogger("loyalty_wallet.webservice")

PROBE_SECONDS = 4.0
"""What of the five seconds the providers may take."""
MAX_AGE_SECONDS = 60
"""Whoever asks more often gets what was found then."""


@csrf_exempt  # Nothing is changed here: a POST is told so, and not that it lacks a form's token.
@transaction.non_atomic_requests
@cache_control(no_store=True)
def wallet_status(request: HttpRequest) -> HttpResponse:
    """Answer 200, or 503 when it is down. `?fast=1` asks the database alone."""
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(("GET", "HEAD"))
    if refusal := _refusal(request):
        return refusal
    try:
        if request.GET.get("fast") not in ("1", "true"):
            run_probes(PROBE_SECONDS, max_age_seconds=MAX_AGE_SECONDS)
        status = read_status()
    except DatabaseFailure:
        logger.exception("The status could not be read.")
        content: dict[str, Any] = {"status": Level.DOWN, "problems": [{"code": "database"}]}
        return JsonResponse(content, status=HTTPStatus.SERVICE_UNAVAILABLE)
    is_down = status.level is Level.DOWN
    return JsonResponse(
        status_as_dict(status),
        status=HTTPStatus.SERVICE_UNAVAILABLE if is_down else HTTPStatus.OK,
    )


def status_as_dict(status: Status) -> dict[str, Any]:
    """Return what monitors may know."""
    return {
        "status": status.level,
        "google_configured": _has_provider(status, "google"),
        "apple_configured": _has_provider(status, "apple"),
        "wallets": {wallet.alias: _wallet(wallet) for wallet in status.wallets},
        "last_run": _run(status.last_run),
        "last_success_at": _iso(status.last_success.finished_at if status.last_success else None),
        "backlog": {
            "due": status.due,
            "failing": status.failing,
            "set_aside": status.set_aside,
            "oldest_seconds": _seconds(status.oldest_seconds),
        },
        "schedule": _schedule(status.schedule, status.interval_seconds),
        "has_broker": status.has_broker,
        "alerts": [
            {
                "code": alert.code,
                "value": alert.value,
                "threshold": alert.threshold,
                "raised_at": _iso(alert.raised_at),
            }
            for alert in status.alerts
        ],
        "problems": [
            {"code": problem.code, "level": problem.level, "wallet": problem.wallet}
            for problem in status.problems
        ],
        "checked_at": _iso(status.now),
    }


def _refusal(request: HttpRequest) -> HttpResponse | None:
    """Return the answer for who may not ask; nothing in it tells why."""
    if _has_token(request):
        return None
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return HttpResponse(status=HTTPStatus.UNAUTHORIZED, headers={"WWW-Authenticate": "Bearer"})
    return None if user.is_active and user.is_staff else HttpResponse(status=HTTPStatus.FORBIDDEN)


def _has_token(request: HttpRequest) -> bool:
    try:
        expected = get_conf().status_token
    except ImproperlyConfigured:
        return False
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    return (
        bool(expected)
        and scheme.lower() == "bearer"
        and constant_time_compare(given.strip(), expected)
    )


def _has_provider(status: Status, provider: str) -> bool:
    # A wallet that cannot be built does not say whose it is; its alias may.
    return any(
        wallet.is_configured and provider in (wallet.provider, wallet.alias)
        for wallet in status.wallets
    )


def _wallet(wallet: WalletStatus) -> dict[str, Any]:
    probe = wallet.probe
    return {
        "configured": wallet.is_configured,
        "usable": wallet.is_usable,
        "reachable": None if probe is None else probe.is_reachable,
        "authorised": None if probe is None else probe.is_authorised,
        "publishing": "unknown" if probe is None else probe.publishing,
        "probed_at": _iso(None if probe is None else probe.checked_at),
        "breaker": {None: "unknown", False: "closed", True: "open"}[wallet.is_breaker_open],
        "expires_at": _iso(wallet.expires_at),
        "days_left": wallet.days_left,
        "due": wallet.due,
        "failing": wallet.failing,
        "set_aside": wallet.set_aside,
        "oldest_seconds": _seconds(wallet.oldest_seconds),
        "last_success_at": _iso(wallet.last_success_at),
    }


def _run(run: SyncRun | None) -> dict[str, Any] | None:
    if run is None:
        return None
    return {
        "status": run.status,
        "trigger": run.trigger,
        "started_at": _iso(run.started_at),
        "finished_at": _iso(run.finished_at),
        "duration_seconds": _seconds(run.duration_seconds),
        "is_stalled": run.is_stalled,
        "cards": run.card_counts,
    }


def _schedule(schedule: Schedule, interval_seconds: float) -> dict[str, Any]:
    return {
        "installed": schedule.is_installed,
        "enabled": schedule.is_enabled,
        "interval_seconds": interval_seconds,
        "last_run_at": _iso(schedule.last_run_at),
        "next_run_at": _iso(schedule.next_run_at),
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")


def _seconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
