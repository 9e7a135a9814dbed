"""Whether `wallet_doctor` sees who runs the sync, and is content when somebody does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from pytest_django import Settings

from loyalty_wallet.models import LoyaltyCard
from loyalty_wallet.schedule import install_schedule
from loyalty_wallet.sync.alarms.beat import TASK
from tests.shopfront import Configure

from .examining import examine, good

pytestmark = pytest.mark.django_db(transaction=True)

MakeCards = Callable[[int], list[LoyaltyCard]]
ConfigureApple = Callable[..., None]


def test_all_is_well(right_cards: MakeCards, configure_apple: ConfigureApple) -> None:
    """Each thing that was looked at is named, so that one knows what is not to blame."""
    right_cards(1)
    install_schedule()
    _, bad = examine()
    assert bad == {}
    assert {"database", "cards", "schedule", "google_key", "apple_certificate"} <= good()


def test_nothing_runs_the_sync(configure: Configure) -> None:
    """Neither beat nor, as far as can be seen, cron."""
    _, bad = examine()
    assert "install_wallet_schedule" in bad["schedule"]["fix"]
    install_schedule()
    assert "schedule" not in examine()[1]


def test_nothing_runs_the_sync_and_there_is_no_beat(
    configure: Configure, settings: Settings
) -> None:
    """Without django-celery-beat only cron is left to be named."""
    settings.INSTALLED_APPS = [
        name for name in settings.INSTALLED_APPS if name != "django_celery_beat"
    ]
    _, bad = examine()
    assert "install_wallet_schedule" not in bad["schedule"]["fix"]
    assert "sync_wallet_passes" in bad["schedule"]["fix"]


def test_beat_that_has_died(configure: Configure) -> None:
    """The entry is there, and nobody acts on it."""
    install_schedule()
    PeriodicTask.objects.filter(task=TASK).update(last_run_at=timezone.now() - timedelta(hours=3))
    _, bad = examine()
    assert "celery -A yourproject beat" in bad["beat_silent"]["fix"]
