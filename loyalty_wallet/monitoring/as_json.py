"""The state of everything as JSON: for monitors, who see no names, and for operators, who do."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ..models import SyncRun
from ..sync.alarms.beat import Schedule
from .problems import Problem
from .status import Status, WalletStatus


def status_as_dict(status: Status, *, is_for_operators: bool = False) -> dict[str, Any]:
    """Return what monitors may know; for operators also words, which name files and accounts."""
    return {
        "status": status.level,
        "google_configured": _has_provider(status, "google"),
        "apple_configured": _has_provider(status, "apple"),
        "wallets": {wallet.alias: _wallet(wallet) for wallet in status.wallets},
        "last_run": _run(status.last_run, is_for_operators=is_for_operators),
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
            _problem(problem, is_for_operators=is_for_operators) for problem in status.problems
        ],
        "checked_at": _iso(status.now),
    }


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


def _run(run: SyncRun | None, *, is_for_operators: bool) -> dict[str, Any] | None:
    if run is None:
        return None
    named = {"run_id": run.pk} if is_for_operators else {}
    return {
        **named,
        "status": run.status,
        "trigger": run.trigger,
        "started_at": _iso(run.started_at),
        "finished_at": _iso(run.finished_at),
        "duration_seconds": _seconds(run.duration_seconds),
        "is_stalled": run.is_stalled,
        "cards": run.card_counts,
    }


def _problem(problem: Problem, *, is_for_operators: bool) -> dict[str, Any]:
    words = {"text": problem.text, "remedy": problem.remedy} if is_for_operators else {}
    return {"code": problem.code, "level": problem.level, "wallet": problem.wallet, **words}


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
