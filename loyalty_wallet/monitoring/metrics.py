"""The state of everything for Prometheus, computed from the tables when it is scraped.

Every process gives the same answer, so none keeps files or memory of its own. All are gauges:
history is pruned, and a counter that goes down reads as an increase. The ones of the last run speak
of the last one over all cards, as the alarms do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..models import SyncRun
from ..sync import SyncReport
from ..sync.report import CARD_COUNTS
from .problems import Level
from .status import Status, WalletStatus, full_runs, read_status

PREFIX = "loyalty_wallet_"
KNOWN_ALERTS = ("failure_rate", "duration", "failed_cards", "no_recent_success", "oldest_due")


class WalletCollector(Collector):
    """Register it in a registry of your own, or use `wallet_registry`."""

    def describe(self) -> Iterable[Metric]:
        """Name nothing in advance: a registry must not ask the database when it is filled."""
        return ()

    def collect(self) -> Iterator[Metric]:
        status = read_status()
        yield from _overall(status)
        yield from _wallets(status.wallets)
        yield from _last_run()


def wallet_registry() -> CollectorRegistry:
    """Return a registry with this package's metrics alone."""
    registry = CollectorRegistry()
    registry.register(WalletCollector())
    return registry


def _overall(status: Status) -> Iterator[Metric]:
    yield _labelled(
        "level",
        "1 for the present level: ok, degraded (look at it today) or down.",
        "level",
        {level.value: level is status.level for level in Level},
    )
    codes = {alert.code for alert in status.alerts}
    yield _labelled(
        "open_alerts",
        "1 for each alarm that is raised and not over.",
        "code",
        {code: code in codes for code in dict.fromkeys([*KNOWN_ALERTS, *sorted(codes)])},
    )
    yield _gauge("run_running", "1 while a run is going.", status.running is not None)
    if status.last_success is not None and status.last_success.finished_at is not None:
        yield _gauge(
            "last_success_timestamp_seconds",
            "When the last run over all cards came through, even if some of them failed.",
            status.last_success.finished_at.timestamp(),
        )


def _wallets(wallets: Iterable[WalletStatus]) -> Iterator[Metric]:
    wallets = list(wallets)
    gauges: tuple[tuple[str, str, Mapping[str, float]], ...] = (
        (
            "usable",
            "1 if the settings have the wallet and its key or certificate can be used.",
            {wallet.alias: wallet.is_usable for wallet in wallets},
        ),
        (
            "due_passes",
            "Passes whose phones are wrong, those set aside not among them.",
            {wallet.alias: wallet.due for wallet in wallets},
        ),
        (
            "failing_passes",
            "Of the due passes, those whose last delivery failed.",
            {wallet.alias: wallet.failing for wallet in wallets},
        ),
        (
            "set_aside_passes",
            "Passes that are not tried again until their card changes or a person asks.",
            {wallet.alias: wallet.set_aside for wallet in wallets},
        ),
        (
            "oldest_due_seconds",
            "For how long the card has been wrong that has been wrong for longest; 0 for none.",
            {wallet.alias: wallet.oldest_seconds or 0 for wallet in wallets},
        ),
        (
            "certificate_days_left",
            "Whole days until the wallet's certificate ends, negative after that.",
            {w.alias: w.days_left for w in wallets if w.days_left is not None},
        ),
    )
    for name, text, values in gauges:
        yield _labelled(name, text, "wallet", values)


def _last_run() -> Iterator[Metric]:
    ended = full_runs(SyncRun.Status.SUCCEEDED, SyncRun.Status.PARTIAL, SyncRun.Status.FAILED)
    run = ended.filter(finished_at__isnull=False).first()
    if run is None or run.finished_at is None:
        return
    report = SyncReport.of_run(run)
    yield _gauge("last_run_id", "Number of the last run; grows with each.", run.pk)
    yield _gauge(
        "last_run_timestamp_seconds", "When the last run ended.", run.finished_at.timestamp()
    )
    yield _gauge(
        "last_run_duration_seconds", "How long the last run took.", report.duration_seconds or 0
    )
    yield _gauge(
        "last_run_failure_ratio",
        "Share of the last run's cards with a failed or deferred pass.",
        report.failure_rate,
    )
    yield _labelled(
        "last_run_cards",
        "Distinct cards of the last run by how they ended; selected is the sum of the others.",
        "outcome",
        {name: report.cards[name] for name in CARD_COUNTS},
    )
    passes = GaugeMetricFamily(
        f"{PREFIX}last_run_passes",
        "Passes, attempts and requests of the last run.",
        labels=("wallet", "count"),
    )
    for alias, counts in report.wallets.items():
        for name, count in counts.items():
            passes.add_metric((alias, name), count)
    yield passes


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, text, value=float(value))


def _labelled(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    metric = GaugeMetricFamily(PREFIX + name, text, labels=(label,))
    for labelled, value in values.items():
        metric.add_metric((labelled,), float(value))
    return metric
