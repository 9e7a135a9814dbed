"""The hourly tasks of the peers, as their users write them; each runs in a process of its own.

No Django at the top: what a contender does not need weighs on nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from tests.benchmarks.command import set_up
from tests.benchmarks.measure import Cost, measured

HOUR = timedelta(hours=1)
TIMEOUT_SECONDS = 10
HTTP_OK, HTTP_TOO_MANY, HTTP_SERVER_ERROR = 200, 429, 500
PNG = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00"
    b"\x1f\x15\xc4\x89\x00\x00\x00\rIDATx\xdac\xfc\xcf\xc0P\x0f\x00\x04\x85\x01\x80\x84\xa9"
    b"\x8c!\x00\x00\x00\x00IEND\xaeB`\x82"
)
"""One pixel."""


class TimeUpError(BaseException):
    """A contender's time is over. Not an `Exception`, which a loop would count as a bad card."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """What one hourly task is given."""

    environment: Mapping[str, str]
    """Where the shop's database is."""
    payloads: Mapping[str, Any]
    """The content that each object at Google should have: a gift to the rivals."""
    url: str
    credentials: Path
    delays: Sequence[float]
    limit: float
    """Seconds after which it is stopped, wherever it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushHour:
    """What one hourly task of django-walletpass is given."""

    folder: Path
    url: str
    options: Mapping[str, Any]
    """Those of our own wallet."""
    tokens: Sequence[str]
    """The push token of each pass."""
    changed: Sequence[int]
    payload: Mapping[str, Any]
    limit: float


def plain_loop(hour: Hour) -> Cost:
    """Send one card after the other, each up to four times with sleeps in between."""
    with _task(hour) as changed:
        from google.auth.transport.requests import AuthorizedSession
        from google.oauth2.service_account import Credentials

        scopes = ["https://www.googleapis.com/auth/wallet_object.issuer"]
        account = Credentials.from_service_account_file(hour.credentials, scopes=scopes)
        with AuthorizedSession(account) as session, _cost(hour.limit) as cost:
            for remote_id in changed():
                url = f"{hour.url}/walletobjects/v1/loyaltyObject/{remote_id}"
                _patch(session, url, hour.payloads[remote_id], hour.delays)
    return cost


def _patch(session: Any, url: str, payload: Any, delays: Sequence[float]) -> None:
    import requests

    for delay in (0, *delays):
        time.sleep(delay)
        try:
            answer = session.patch(url, json=payload, timeout=TIMEOUT_SECONDS)
        except requests.RequestException:
            continue
        if answer.status_code < HTTP_SERVER_ERROR and answer.status_code != HTTP_TOO_MANY:
            return


def edutap_loop(hour: Hour) -> Cost:
    """Call `api.update` for one card after the other; what raises is left."""
    os.environ["EDUTAP_WALLET_GOOGLE_API_URL"] = f"{hour.url}/walletobjects/v1"
    os.environ["EDUTAP_WALLET_GOOGLE_CREDENTIALS_FILE"] = str(hour.credentials)
    # What it says of the libraries below it is not for whoever measures.
    warnings.simplefilter("ignore")
    with _task(hour) as changed:
        from edutap.wallet_google import api
        from edutap.wallet_google.clientpool import client_pool

        # Its token endpoint is Google's own, and no setting changes that.
        original = client_pool._build_client_config
        endpoint = json.loads(hour.credentials.read_text())["token_uri"]
        client_pool._build_client_config = lambda credentials: {
            **original(credentials),
            "token_endpoint": endpoint,
        }
        with _cost(hour.limit) as cost:
            for remote_id in changed():
                with contextlib.suppress(Exception):
                    api.update(api.new("LoyaltyObject", hour.payloads[remote_id]))
    return cost


def walletpass_loop(hour: PushHour) -> Cost:
    """Build each changed pass with django-walletpass and save it: saving pushes."""
    os.environ["SSL_CERT_FILE"] = hour.options["apns_ca"]
    _settle_walletpass(hour)
    from django.core.management import call_command
    from django_walletpass.models import Pass
    from django_walletpass.services import PassBuilder

    call_command("migrate", verbosity=0)
    if not Pass.objects.exists():
        _issue_walletpasses(hour)
    passes = list(Pass.objects.order_by("pk"))
    with _cost(hour.limit) as cost:
        for number in hour.changed:
            with contextlib.suppress(Exception):
                builder = PassBuilder.read_from_model(passes[number])
                builder.pass_data["description"] = f"Changed at {time.time()}"
                builder.build()
                builder.write_to_model(passes[number])
    return cost


def _settle_walletpass(hour: PushHour) -> None:
    import django
    from aioapns.connection import APNsBaseClientProtocol
    from django.conf import settings

    settings.configure(
        SECRET_KEY="benchmark",
        INSTALLED_APPS=["django.contrib.contenttypes", "django_walletpass"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(hour.folder / "walletpass.sqlite3"),
            }
        },
        MEDIA_ROOT=str(hour.folder / "media"),
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        WALLETPASS={
            "CERT_PATH": hour.options["certificate"],
            "KEY_PATH": hour.options["private_key"],
            "APPLE_WWDRCA_PEM_PATH": hour.options["wwdr_certificate"],
            "PASS_TYPE_ID": hour.options["pass_type_identifier"],
            "TEAM_ID": hour.options["team_identifier"],
            "SERVICE_URL": hour.options["web_service_url"],
            "PUSH_AUTH_STRATEGY": "token",
            "TOKEN_AUTH_KEY_PATH": hour.options["push_key"],
            "TOKEN_AUTH_KEY_ID": hour.options["push_key_id"],
        },
    )
    django.setup()
    logging.disable(logging.CRITICAL)
    parts = urlsplit(hour.url)
    APNsBaseClientProtocol.APNS_SERVER = parts.hostname
    # The port is that of the two subclasses.
    for protocol in APNsBaseClientProtocol.__subclasses__()[0].__subclasses__():
        protocol.APNS_SERVER, protocol.APNS_PORT = parts.hostname, parts.port
    # It asks the main thread for its loop, as programs did before Python 3.12.
    asyncio.set_event_loop(asyncio.new_event_loop())


def _issue_walletpasses(hour: PushHour) -> None:
    from django_walletpass.models import Pass, Registration
    from django_walletpass.services import PassBuilder

    passes = []
    for _ in hour.tokens:
        builder = PassBuilder()
        builder.pass_data = dict(hour.payload)
        builder.add_file("icon.png", PNG)
        builder.build()
        passes.append(builder.write_to_model(Pass()))
    Registration.objects.bulk_create(
        Registration(device_library_identifier=token[:32], push_token=token, pazz=row)
        for token, row in zip(hour.tokens, passes, strict=True)
    )


@contextlib.contextmanager
def _task(hour: Hour) -> Iterator[Callable[[], list[str]]]:
    """Start Django on the shop's database; yield what asks for the ids of the last hour's cards."""
    os.environ.update(hour.environment)
    set_up()
    logging.disable(logging.CRITICAL)
    from django.utils import timezone

    from loyalty_wallet.models import LoyaltyCard, WalletPass

    def changed() -> list[str]:
        since = timezone.now() - HOUR
        cards = LoyaltyCard.objects.filter(transactions__created_at__gte=since).distinct()
        keys = [str(pk) for pk in cards.order_by("pk").values_list("pk", flat=True)]
        passes = WalletPass.objects.filter(card_key__in=keys).order_by("pk")
        return list(passes.values_list("remote_id", flat=True))

    yield changed


@contextlib.contextmanager
def _cost(limit: float) -> Iterator[Cost]:
    """Measure what runs inside, and stop it when its time is over."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise TimeUpError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        with measured() as cost:
            with contextlib.suppress(TimeUpError):
                yield cost
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, before)
