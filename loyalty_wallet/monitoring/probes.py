"""A look over the network at each wallet's provider, all at once and within a time budget."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Mapping
from datetime import timedelta

from django.utils import timezone

from ..exceptions import BugError, DeliveryError, DeliveryTimeoutError
from ..models import WalletProbe, WalletProgram
from ..redaction import redact
from ..wallets.base import ProbeResult, Wallet
from .setups import usable_wallets

logger = logging.getLogger("loyalty_wallet.monitoring")

BUDGET_SECONDS = 5.0

_Findings = queue.SimpleQueue[tuple[str, ProbeResult, float]]

_is_probing = threading.Lock()


def run_probes(
    budget_seconds: float = BUDGET_SECONDS, *, max_age_seconds: float = 0
) -> dict[str, WalletProbe]:
    """Ask all providers at once and return what was found, by alias.

    It is written down, too. What has not answered within the budget is `unknown`. A probe that is
    no older than `max_age_seconds` is not repeated, and while one thread of this process asks, the
    others wait for it.
    """
    ends_at = time.monotonic() + budget_seconds
    if not _is_probing.acquire(timeout=budget_seconds):
        return WalletProbe.objects.in_bulk()
    try:
        wallets = usable_wallets()
        known = WalletProbe.objects.in_bulk(list(wallets))
        since = timezone.now() - timedelta(seconds=max_age_seconds)
        stale = {
            alias: wallet
            for alias, wallet in wallets.items()
            if alias not in known or known[alias].checked_at < since
        }
        for alias, (result, seconds) in _ask(stale, ends_at, budget_seconds).items():
            known[alias] = _write(alias, result, seconds)
        return known
    finally:
        _is_probing.release()


def _ask(
    wallets: Mapping[str, Wallet], ends_at: float, budget_seconds: float
) -> dict[str, tuple[ProbeResult, float]]:
    findings: _Findings = queue.SimpleQueue()
    for alias, wallet in wallets.items():
        program_ids = WalletProgram.objects.filter(wallet=alias).values_list("remote_id", flat=True)
        # A thread each, left behind when the budget is spent: resolving a name, or reading a key
        # from a safe of somebody's, cannot be interrupted.
        threading.Thread(
            target=_probe, args=(wallet, frozenset(program_ids), findings), daemon=True
        ).start()
    error = DeliveryTimeoutError(f"No answer within {budget_seconds:g} s.")
    unknown = ProbeResult(code=error.code, message=error.message)
    found = dict.fromkeys(wallets, (unknown, budget_seconds))
    for _ in wallets:
        try:
            alias, result, seconds = findings.get(timeout=max(0.0, ends_at - time.monotonic()))
        except queue.Empty:
            break
        found[alias] = result, seconds
    return found


def _probe(wallet: Wallet, program_ids: frozenset[str], findings: _Findings) -> None:
    started = time.monotonic()
    try:
        result = asyncio.run(wallet.probe(program_ids))
    except DeliveryError as error:
        result = ProbeResult.of(error)
    except Exception as error:
        logger.exception("The wallet %r could not be probed.", wallet.alias)
        result = ProbeResult(code=BugError.code, message=redact(type(error).__name__))
    findings.put((wallet.alias, result, time.monotonic() - started))


def _write(alias: str, result: ProbeResult, seconds: float) -> WalletProbe:
    has_choice = result.publishing in WalletProbe.Publishing.values
    probe, _ = WalletProbe.objects.update_or_create(
        wallet=alias,
        defaults={
            "checked_at": timezone.now(),
            "is_reachable": result.is_reachable,
            "is_authorised": result.is_authorised,
            "publishing": result.publishing if has_choice else WalletProbe.Publishing.UNKNOWN,
            "code": result.code,
            "message": redact(result.message),
            "seconds": seconds,
        },
    )
    return probe
