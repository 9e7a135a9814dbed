"""Taking passes over: all or nothing, or as many as are right."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby, takewhile

from ...wallets.apple import AppleWallet
from ..transactions import in_transaction
from .planning import PlannedPass, Problem, plan_import
from .reading import PassRow
from .writing import write_passes, write_registrations

logger = logging.getLogger("loyalty_wallet.sync")

_BUSY = "a worker is about to hand out another pass of the card: try again in a few minutes"


@dataclass(slots=True, kw_only=True)
class ImportReport:
    """How many passes were taken over, or would be, and what is wrong with the rest."""

    passes: int = 0
    known: int = 0
    """Passes that had been taken over before."""
    devices: int = 0
    """New registrations of a pass on a device."""
    problems: list[Problem] = field(default_factory=list)
    is_written: bool = False


class _RefusedError(Exception):
    """Undoes what has been written."""


def import_passes(
    rows: Iterable[PassRow],
    *,
    match: str = "pk",
    dry_run: bool = False,
    skips_bad: bool = False,
    replaces_unused: bool = False,
) -> ImportReport:
    """Take over passes and the devices that hold them; doing it again changes nothing.

    `match` says how rows name their cards (see `matching`). With a problem in any row nothing is
    written, unless it `skips_bad` rows. A card that has a pass with another id keeps it: only one
    that was never handed out gives way. `replaces_unused` lets also those of wallets whose phones
    register give way that no phone holds.

    Raises ImportSourceError.
    """
    found = list(rows)
    report = ImportReport()

    def work() -> None:
        nonlocal report
        report = _import(found, match=match, replaces_unused=replaces_unused)
        report.is_written = not dry_run and (skips_bad or not report.problems)
        if not report.is_written:
            raise _RefusedError

    with suppress(_RefusedError):
        in_transaction(work)
        logger.info(
            "taken over: passes=%d registrations=%d known=%d bad=%d",
            report.passes,
            report.devices,
            report.known,
            len(report.problems),
        )
    return report


def _import(rows: Iterable[PassRow], *, match: str, replaces_unused: bool) -> ImportReport:
    report = ImportReport()
    plan = plan_import(rows, match=match, replaces_unused=replaces_unused)
    report.problems = plan.problems
    for _, passes in groupby(plan.passes, key=lambda planned: planned.wallet.alias):
        group = list(passes)
        lost = write_passes(group)
        report.problems += [Problem(planned.place, _BUSY) for planned in lost]
        _count(group, lost, report)
    report.problems.sort(key=_order)
    return report


def _order(problem: Problem) -> int:
    """Return the number in a place: of the line, or of the pass."""
    return int("".join(takewhile(str.isdigit, problem.place.partition(" ")[2])) or 0)


def _count(group: list[PlannedPass], lost: list[PlannedPass], report: ImportReport) -> None:
    lost_keys = {planned.card_key for planned in lost}
    written = [planned for planned in group if planned.card_key not in lost_keys]
    report.known += sum(planned.is_ours for planned in written)
    report.passes += sum(not planned.is_ours for planned in written)
    wallet = group[0].wallet
    if isinstance(wallet, AppleWallet):
        report.devices += write_registrations(written, wallet)
