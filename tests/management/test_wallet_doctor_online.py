"""`wallet_doctor --online`: the providers, the workers and the shared limit."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from pytest_django.live_server_helper import LiveServer

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard
from loyalty_wallet.schedule import install_schedule
from tests.servers import Server
from tests.shopfront import Configure

from .examining import examine, good

pytestmark = pytest.mark.django_db(transaction=True)

MakeCards = Callable[[int], list[LoyaltyCard]]
ConfigureApple = Callable[..., None]


def test_providers_that_answer(
    right_cards: MakeCards, configure_apple: ConfigureApple, live_server: LiveServer
) -> None:
    """Online: both let us in, and phones reach our web service with their tokens."""
    configure_apple(web_service_url=f"{live_server.url}/wallet/apple")
    right_cards(1)
    install_schedule()
    _, bad = examine("--online")
    assert bad == {}
    assert {"provider", "web_service"} <= good("--online")


def test_account_that_was_not_invited(configure: Configure, google: GoogleEmulator) -> None:
    """The e-mail to invite is told to the operator, here and nowhere else."""
    google.deny_issuer()
    _, bad = examine("--online")
    assert google.service_account["client_email"] in bad["forbidden"]["fix"]
    assert google.issuer_id in bad["forbidden"]["fix"]
    assert "unauthorized" not in bad


def test_key_that_was_revoked(configure: Configure, google: GoogleEmulator) -> None:
    """It wants a new key, not an invitation."""
    google.revoke_key()
    _, bad = examine("--online")
    assert "Create a new key for" in bad["unauthorized"]["fix"]
    assert google.service_account["private_key"][40:80] not in json.dumps(bad)


def test_worker_that_is_silent(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a broker, and nobody takes what is put there."""
    with monkeypatch.context() as here:
        # Not in Celery's settings: its older versions do not look there again.
        here.setenv("CELERY_BROKER_URL", "memory://")
        _, bad = examine("--online")
        assert "worker" not in examine()[1]
    assert "celery -A yourproject worker" in bad["worker"]["fix"]


def test_limiter_that_is_not_shared(configure: Configure) -> None:
    """Redis is away: this machine counts for itself. Its password is told to nobody."""
    configure(RATE_LIMIT_REDIS_URL="redis://:planted@127.0.0.1:9/0")
    _, bad = examine("--online")
    assert "shares no limit" in bad["limits_not_shared"]["text"]
    assert "planted" not in json.dumps(bad)


@pytest.mark.database
def test_limiter_in_redis(configure: Configure, redis_server: Server) -> None:
    """Redis answers: all machines share it."""
    configure(RATE_LIMIT_REDIS_URL=redis_server.url)
    assert "redis" in good("--online")
