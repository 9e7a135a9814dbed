"""What Prometheus scrapes: read by its own parser, and what the shipped rules ask of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, SyncAlert, SyncRun, WalletPass
from loyalty_wallet.monitoring.metrics import PREFIX, WalletCollector, wallet_registry
from loyalty_wallet.sync import Selection, sync_wallet_passes
from loyalty_wallet.sync.retention import Retention, prune
from tests.shopfront import Configure

MakeCards = Callable[[int], list[LoyaltyCard]]

PAGE = (Path(__file__).parents[2] / "docs/reference/metrics.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.django_db(transaction=True)


def scrape() -> dict[tuple[str, ...], float]:
    """Return each sample by its name, the prefix left out, and the values of its labels."""
    text = generate_latest(wallet_registry()).decode()
    return {
        (sample.name.removeprefix(PREFIX), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def rules() -> list[dict[str, Any]]:
    text = files("loyalty_wallet.monitoring").joinpath("prometheus_rules.yml").read_text("utf-8")
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


def test_what_waits_and_since_when(
    google: GoogleEmulator, configure_apple: Callable[..., None], right_cards: MakeCards
) -> None:
    """Per wallet: due, failing, set aside, and for how long the oldest has been wrong."""
    failing, waiting, given_up, _ = right_cards(4)
    failing.record("earn", points=1)
    google.fail(object_id=failing.google_object_id, status=400)
    sync_wallet_passes()
    waiting.record("earn", points=1)
    since = timezone.now() - timedelta(hours=3)
    WalletPass.objects.filter(card_key=waiting.key, wallet="google").update(due_at=since)
    WalletPass.objects.filter(card_key=given_up.key, wallet="google").update(
        state=WalletPass.State.SET_ASIDE, due_at=since - timedelta(hours=9)
    )

    found = scrape()

    assert found["due_passes", "google"] == 2
    assert found["failing_passes", "google"] == 1
    assert found["set_aside_passes", "google"] == 1
    assert found["oldest_due_seconds", "google"] == pytest.approx(3 * 3600, abs=60)
    assert found["due_passes", "apple"] == 1
    assert found["usable", "apple"] == 1
    assert found["certificate_days_left", "apple"] > 0
    assert ("certificate_days_left", "google") not in found
    assert found["level", "degraded"] == 1
    assert found["level", "ok"] == found["level", "down"] == 0


def test_the_last_run_over_all_cards(google: GoogleEmulator, right_cards: MakeCards) -> None:
    """Its counts, length and end; a re-sync of one card, as well as a skipped run, leaves them be."""
    cards = right_cards(4)
    cards[0].record("earn", points=1)
    google.fail(object_id=cards[0].google_object_id, status=400)
    report = sync_wallet_passes()
    sync_wallet_passes(selection=Selection.of_cards([cards[1].key]), force=True)
    SyncRun.objects.create(
        status="skipped", selection=Selection().as_json(), finished_at=timezone.now()
    )

    found = scrape()

    assert report.run_id is not None
    run = SyncRun.objects.get(pk=report.run_id)
    assert run.finished_at is not None
    assert found["last_run_id",] == run.pk
    assert found["last_run_cards", "selected"] == 4
    assert found["last_run_cards", "failed"] == 1
    assert found["last_run_failure_ratio",] == 0.25
    assert found["last_run_passes", "attempts", "google"] == 1
    assert found["last_run_duration_seconds",] == pytest.approx(report.duration_seconds)
    assert found["last_run_timestamp_seconds",] == pytest.approx(run.finished_at.timestamp())
    assert found["last_success_timestamp_seconds",] == found["last_run_timestamp_seconds",]
    assert found["run_running",] == 0


def test_before_the_first_run_nothing_is_claimed(configure: Configure) -> None:
    """No success is not one at the beginning of time: the sample is missing."""
    found = scrape()
    assert found["due_passes", "google"] == 0
    names = {name for name, *_ in found}
    assert "last_success_timestamp_seconds" not in names
    assert "last_run_cards" not in names


def test_alarms_are_one_while_they_are_open(configure: Configure) -> None:
    """Each known alarm has a sample, so that a rule sees it end."""
    found = scrape()
    assert {
        key[1]: value for key, value in found.items() if key[0] == "open_alerts"
    } == dict.fromkeys(
        ("failure_rate", "duration", "failed_cards", "no_recent_success", "oldest_due"), 0
    )
    alert = SyncAlert.objects.create(
        code="duration", value=42, threshold=30, raised_at=timezone.now()
    )
    assert scrape()["open_alerts", "duration"] == 1
    alert.resolved_at = timezone.now()
    alert.save()
    assert scrape()["open_alerts", "duration"] == 0


def test_pruning_makes_no_number_jump(google: GoogleEmulator, right_cards: MakeCards) -> None:
    """History goes; what is scraped says the same before and after."""
    cards = right_cards(2)
    for _ in range(3):
        cards[0].record("earn", points=1)
        sync_wallet_passes()
    kept = SyncRun.objects.latest("pk")
    long_ago = timezone.now() - timedelta(days=500)
    SyncRun.objects.exclude(pk=kept.pk).update(started_at=long_ago, finished_at=long_ago)

    before = scrape()
    assert prune(Retention()).runs == 3

    assert scrape() == before


def test_settings_that_cannot_be_read_are_told(settings: Settings) -> None:
    """A scrape in an emergency says that we are down, rather than nothing."""
    settings.LOYALTY_WALLET = {"WALLETZ": {}}
    assert scrape()["level", "down"] == 1


def test_filling_a_registry_asks_no_database(settings: Settings) -> None:
    """A project may register the collector beside its own while it starts."""
    with CaptureQueriesContext(connection) as queries:
        CollectorRegistry().register(WalletCollector())
    assert len(queries) == 0


def test_a_scrape_costs_the_same_however_many_cards_there_are(right_cards: MakeCards) -> None:
    """It is asked for every few seconds."""
    right_cards(2)
    with CaptureQueriesContext(connection) as few:
        scrape()
    right_cards(300)
    with CaptureQueriesContext(connection) as many:
        scrape()
    assert len(many) == len(few)


def test_the_shipped_rules_ask_for_what_there_is(
    google: GoogleEmulator, configure_apple: Callable[..., None], right_cards: MakeCards
) -> None:
    """Each metric and each label in the rules exists; a rule on a misspelt one never fires."""
    right_cards(1)
    families = list(text_string_to_metric_families(generate_latest(wallet_registry()).decode()))
    labels: dict[str, set[str]] = {}
    for family in families:
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    assert len(rules()) >= 8
    for rule in rules():
        expression = rule["expr"]
        used = re.findall(rf"{PREFIX}\w+", expression)
        assert used, rule["alert"]
        assert set(used) <= set(labels), rule["alert"]
        asked = set(re.findall(r"\bby \((\w+)\)", expression)) | set(
            re.findall(r"(\w+)=~?\"", expression)
        )
        assert asked <= set().union(*(labels[name] for name in used)), rule["alert"]
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        templates = " ".join(rule["annotations"].values())
        assert set(re.findall(r"\$labels\.(\w+)", templates)) <= asked, rule["alert"]


def test_each_metric_is_documented(
    google: GoogleEmulator, configure_apple: Callable[..., None], right_cards: MakeCards
) -> None:
    """Who writes a dashboard finds every name in the reference."""
    right_cards(1)
    names = {name for name, *_ in scrape()}
    assert len(names) == 16
    rows = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert set(rows) == names


def test_the_rules_know_each_alarm_of_a_run() -> None:
    """The codes in the rules are those that runs raise."""
    (rule,) = (rule for rule in rules() if rule["alert"] == "LoyaltyWalletAlarm")
    codes = re.search(r'code=~"([^"]+)"', rule["expr"])
    assert codes is not None
    assert set(codes[1].split("|")) == {"failure_rate", "duration", "failed_cards"}
