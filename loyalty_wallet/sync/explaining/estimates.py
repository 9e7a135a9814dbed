"""What syncing these cards again would cost, worked out without a request or a write.

Only so many passes are compared: what lies beyond is given as a range, never guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Count

from ...models import AppleRegistration, WalletPass
from ...registry import get_wallets
from ...wallets.base import Wallet
from ..leases import ClaimedPass, Lease
from ..outbox import in_chunks
from ..pump.jobs import JobOutcome
from ..pump.rendering import Renderer

MOST_COMPARED = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What one wallet would be asked for. Each request is one attempt; retries come on top."""

    alias: str
    passes: int
    compared: int
    """How many of the passes, the first ones, were compared with what was delivered."""
    unchanged: int
    unreadable: int
    """Compared ones that cannot be rendered, and fail without a request."""
    requests: int
    """What the compared ones need: one for a pass that changed, or one for each of its devices."""
    forced_requests: int
    """What the compared ones need when they are sent even if unchanged."""
    requests_per_second: float | None

    @property
    def is_whole(self) -> bool:
        """Whether every pass was compared."""
        return self.compared == self.passes

    @property
    def most_requests(self) -> int:
        """As if every pass that was not compared had changed."""
        return self.requests + self._uncompared

    @property
    def most_forced_requests(self) -> int:
        return self.forced_requests + self._uncompared

    @property
    def seconds(self) -> float | None:
        """The time that the most requests take at the wallet's rate; None without a limit."""
        return self._at_rate(self.most_requests)

    @property
    def forced_seconds(self) -> float | None:
        return self._at_rate(self.most_forced_requests)

    @property
    def _uncompared(self) -> int:
        return self.passes - self.compared

    def _at_rate(self, requests: int) -> float | None:
        return None if self.requests_per_second is None else requests / self.requests_per_second


def estimate(
    card_keys: Sequence[str],
    counts: Mapping[str, int] | None = None,
    *,
    most_compared: int = MOST_COMPARED,
) -> list[Estimate]:
    """Return what the passes of these cards cost, by configured wallet.

    `counts` is what `count_passes` has returned, where the caller has asked already.
    """
    if counts is None:
        counts = count_passes(card_keys)
    rows: dict[str, list[ClaimedPass]] = {alias: [] for alias in counts}
    left = most_compared
    for chunk in in_chunks(card_keys):
        passes = WalletPass.objects.for_cards(chunk).filter(wallet__in=list(counts))
        columns = passes.order_by("pk").values_list("wallet", *ClaimedPass._fields)[:left]
        for alias, *values in columns:
            rows[alias].append(ClaimedPass(*values))
            left -= 1
        if left <= 0:
            break
    wallets = get_wallets()
    return [_estimate(wallets[alias], counts[alias], rows[alias]) for alias in counts]


def count_passes(card_keys: Iterable[str]) -> dict[str, int]:
    """Return how many passes these cards have, by configured wallet."""
    found: Counter[str] = Counter()
    for chunk in in_chunks(card_keys):
        passes = WalletPass.objects.for_cards(chunk).order_by().values("wallet")
        found.update(dict(passes.annotate(passes=Count("pk")).values_list("wallet", "passes")))
    return {alias: found[alias] for alias in get_wallets()}


def _estimate(wallet: Wallet, passes: int, rows: Sequence[ClaimedPass]) -> Estimate:
    # As if nobody had forced them, and no worker had died with them.
    quiet = [row._replace(is_forced=False, takeovers=0) for row in rows]
    jobs = Renderer(wallet).render(Lease(0), quiet)
    changed = [job.row.pk for job in jobs if job.outcome is None]
    unchanged = [job.row.pk for job in jobs if job.outcome is JobOutcome.UNCHANGED]
    requests = _requests(wallet, changed)
    return Estimate(
        alias=wallet.alias,
        passes=passes,
        compared=len(rows),
        unchanged=len(unchanged),
        unreadable=sum(job.outcome is JobOutcome.FAILED for job in jobs),
        requests=requests,
        forced_requests=requests + _requests(wallet, unchanged),
        requests_per_second=wallet.requests_per_second,
    )


def _requests(wallet: Wallet, pks: Sequence[int]) -> int:
    """Return one request a pass, or one a device where devices are told."""
    if not wallet.is_published:
        return len(pks)
    return AppleRegistration.objects.filter(wallet_pass__in=pks).count()
