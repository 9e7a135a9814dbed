"""The way in: audits one wallet after the other and puts each on record."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.utils import timezone

from ...conf import get_conf
from ...exceptions import DeliveryError, SelectionError
from ...models import WalletAudit, WalletProgram
from ...redaction import redact
from ...wallets.base import Wallet
from ..pump.limits import RateLimiter, slot_source_for
from ..pump.retry import RetryPolicy
from ..pump.threads import DeliveryThread
from ..selection import Selection
from .comparison import Comparison
from .findings import Findings
from .listing import Listing, StoppedError

logger = logging.getLogger("loyalty_wallet.sync")

HEARTBEAT_SECONDS = 5
DEAD_AFTER = timedelta(minutes=5)

Status = WalletAudit.Status


def audit_wallets(  # noqa: PLR0913
    *,
    wallet: str = "",
    program: str = "",
    fix: bool = False,
    stop_on: type[BaseException] = KeyboardInterrupt,
    stop: threading.Event | None = None,
    max_seconds: float = math.inf,
    on_progress: Callable[[WalletAudit], None] | None = None,
) -> list[WalletAudit]:
    """Compare what the providers have with what was delivered; return an audit for each wallet.

    Only wallets whose provider lists its passes are audited, by default all of them. With `fix`
    what is missing or different becomes due, so that the next run sends it; what is none of ours
    is only reported. KeyboardInterrupt or `stop_on`, `stop` once it is set, and the end of
    `max_seconds` end the audit in order.

    Never raises for a provider's fault: the audit says so. Raises SelectionError for a wallet or a
    program that does not exist, or a wallet whose provider lists nothing.
    """
    selection = Selection().narrowed(wallet=wallet, program=program).checked()
    wallets = [candidate for candidate in selection.wallets if candidate.can_list]
    if wallet and not wallets:
        raise SelectionError(f"The provider of {wallet!r} does not tell which passes it has.")
    ends_at = time.monotonic() + max_seconds

    def check_stop() -> None:
        if (stop is not None and stop.is_set()) or time.monotonic() > ends_at:
            raise StoppedError

    audits = []
    for candidate in wallets:
        audit = _begin(candidate, program, fix)
        audits.append(audit)
        try:
            _carry_out(audit, candidate, check_stop, on_progress)
        except (KeyboardInterrupt, StoppedError, stop_on):
            _close(audit, Status.INTERRUPTED, "Stopped early.")
            break
        except DeliveryError as error:
            _close(audit, Status.FAILED, f"{error.code}: {error.message}")
        except BaseException as error:
            _close(audit, Status.FAILED, redact(f"{type(error).__name__}: {error}"))
            raise
        else:
            _close(audit, Status.SUCCEEDED, "")
    return audits


def report_of(audit: WalletAudit) -> dict[str, Any]:
    """Return the audit in values that JSON knows."""
    return {
        "audit_id": audit.pk,
        "wallet": audit.wallet,
        "program": audit.program_key,
        "status": str(audit.status),
        "is_fixing": audit.is_fixing,
        "started_at": audit.started_at.isoformat(),
        "finished_at": audit.finished_at and audit.finished_at.isoformat(),
        "duration_seconds": audit.duration_seconds,
        "counts": audit.counts,
        "findings": audit.findings,
        "error": audit.error,
    }


def _begin(wallet: Wallet, program: str, fix: bool) -> WalletAudit:
    now = timezone.now()
    dead = WalletAudit.objects.filter(
        wallet=wallet.alias, status=Status.RUNNING, heartbeat_at__lt=now - DEAD_AFTER
    )
    dead.update(status=Status.INTERRUPTED, finished_at=now, error="Its process died.")
    return WalletAudit.objects.create(
        wallet=wallet.alias,
        program_key=program,
        is_fixing=fix,
        started_at=now,
        heartbeat_at=now,
        counts={"requests": 0, **Findings().counts},
    )


def _carry_out(
    audit: WalletAudit,
    wallet: Wallet,
    check_stop: Callable[[], None],
    on_progress: Callable[[WalletAudit], None] | None,
) -> None:
    known = WalletProgram.objects.filter(wallet=wallet.alias).order_by("pk")
    if audit.program_key:
        known = known.filter(program_key=audit.program_key)
    programs = list(known.values_list("program_key", "remote_id"))
    listing = Listing(
        wallet,
        programs,
        policy=RetryPolicy(get_conf().retry_delays),
        limiter=RateLimiter(slot_source_for(wallet)),
    )
    findings = Findings()
    comparison = Comparison(wallet, findings, is_fixing=audit.is_fixing)
    last_beat = time.monotonic()

    def note() -> None:
        nonlocal last_beat
        audit.counts = {"requests": listing.requests, **findings.counts}
        if on_progress is not None:
            on_progress(audit)
        check_stop()
        if time.monotonic() - last_beat >= HEARTBEAT_SECONDS:
            last_beat = time.monotonic()
            audit.heartbeat_at = timezone.now()
            audit.save(update_fields=["counts", "heartbeat_at"])

    thread = DeliveryThread()
    try:
        for listed in listing.pages(thread, check_stop):
            comparison.take(listed)
            note()
        for _ in comparison.find_missing([key for key, _ in programs]):
            note()
    finally:
        thread.close()
        audit.counts = {"requests": listing.requests, **findings.counts}
        audit.findings = [finding.as_json() for finding in findings.kept]


def _close(audit: WalletAudit, status: WalletAudit.Status, error: str) -> None:
    audit.status = status
    audit.error = error
    audit.finished_at = audit.heartbeat_at = timezone.now()
    audit.save()
    counts = audit.counts
    is_good = status == Status.SUCCEEDED and not (counts["missing"] or counts["different"])
    logger.log(
        logging.INFO if is_good else logging.WARNING,
        "audit=%s wallet=%s status=%s objects=%d missing=%d different=%d unknown=%d due=%d fixed=%d%s",
        audit.pk,
        audit.wallet,
        status,
        *(counts[name] for name in ("objects", "missing", "different", "unknown", "due", "fixed")),
        f": {error}" if error else "",
    )
