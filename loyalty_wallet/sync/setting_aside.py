"""When a pass that fails again and again is left alone, until its card changes or a person asks."""

from __future__ import annotations

from typing import Any

from django.db.models import Case, F, Q, Value, When

from ..conf import get_conf
from ..exceptions import DeferredError, DeliveryError, KilledWorkerError
from ..models import WalletPass


def counts_towards_set_aside(failure: type[DeliveryError]) -> bool:
    """Whether more runs are no help for this card. A stopped wallet says nothing of its cards."""
    return not failure.is_retryable and not failure.stops_wallet


def code_after(failure: type[DeliveryError]) -> Case | Value:
    """A deferral says nothing of the card: what it failed with before is still its last failure."""
    code = Value(failure.code)
    if failure is not DeferredError:
        return code
    return Case(When(last_code="", then=code), default=F("last_code"))


def changes_after(failure: type[DeliveryError]) -> dict[str, Any]:
    if failure is KilledWorkerError:
        return {"state": _set_aside(Q())}
    if not counts_towards_set_aside(failure):
        return {"failing_runs": 0} if failure.is_retryable else {}
    limit = get_conf().set_aside_after
    return {
        "state": _set_aside(Q(failing_runs__gte=limit - 1)),
        "failing_runs": F("failing_runs") + 1,
    }


def _set_aside(condition: Q) -> Case:
    # An erasure is tried until it is done.
    condition &= ~Q(state=WalletPass.State.ERASING)
    return Case(
        When(condition, then=Value(WalletPass.State.SET_ASIDE)),
        default=F("state"),
    )
