"""`wallet_doctor`: from "nothing works" to the line that mends it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import requests
from django.core.management import call_command
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram, WalletPass
from loyalty_wallet.monitoring.doctor.setup import judge_options
from loyalty_wallet.schedule import install_schedule
from loyalty_wallet.sources import LoyaltyCardSource
from loyalty_wallet.sync.alarms.beat import TASK
from loyalty_wallet.wallets.google.wallet import API_URL
from tests.phonefront import apns, authority, configure_apple
from tests.servers import Server
from tests.shopfront import Configure

__all__ = ["apns", "authority", "configure_apple"]

pytestmark = pytest.mark.django_db(transaction=True)

MakeCards = Callable[[int], list[LoyaltyCard]]
ConfigureApple = Callable[..., None]

ROOT = Path(__file__).resolve().parents[2]
HERE = {"W003"}
"""What is always said of an emulator: its address is this machine's."""


def examine(*args: str) -> tuple[int, dict[str, dict[str, str]]]:
    """Run the command; return its exit status and what it found bad, by code."""
    status, found = everything(*args)
    bad = {
        finding["code"]: finding for finding in found if finding["grade"] in ("warning", "error")
    }
    return status, {code: finding for code, finding in bad.items() if code not in HERE}


def everything(*args: str) -> tuple[int, list[dict[str, str]]]:
    stdout = StringIO()
    status = 0
    try:
        call_command("wallet_doctor", "--json", *args, stdout=stdout)
    except SystemExit as error:
        status = int(error.code or 0)
    content = json.loads(stdout.getvalue())
    assert content["is_well"] is (status == 0)
    return status, content["findings"]


def good(*args: str) -> set[str]:
    return {finding["code"] for finding in everything(*args)[1] if finding["grade"] == "good"}


class SourceThatFails(LoyaltyCardSource):
    def to_card(self, row: LoyaltyCard) -> Any:
        raise KeyError("planted-secret")


@contextmanager
def serving(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """Serve this answer to every GET; yield the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def answering(
    status: int, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in (headers or {}).items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


_KEPT = ("WWW-Authenticate",)


def proxy_to(root: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """Pass requests on, but for the Authorization header, as a careless proxy does."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        with requests.Session() as session:
            session.trust_env = False
            found = session.get(f"{root}{request.path}", timeout=10)
        kept = {name: found.headers[name] for name in _KEPT if name in found.headers}
        answering(found.status_code, found.content, kept)(request)

    return answer


def test_all_is_well(right_cards: MakeCards, configure_apple: ConfigureApple) -> None:
    """Each thing that was looked at is named, so that one knows what is not to blame."""
    right_cards(1)
    install_schedule()
    _, bad = examine()
    assert bad == {}
    assert {"database", "cards", "schedule", "google_key", "apple_certificate"} <= good()


def test_for_people(configure: Configure, google: GoogleEmulator) -> None:
    """A mark, what it is, the line that mends it; last whether anything is wrong."""
    configure(credentials="/srv/missing.json")
    stdout = StringIO()
    with pytest.raises(SystemExit) as error:
        call_command("wallet_doctor", stdout=stdout)
    lines = stdout.getvalue().splitlines()
    assert error.value.code == 1
    number = next(i for i, line in enumerate(lines) if "/srv/missing.json" in line)
    assert lines[number].startswith("✗ ")
    assert lines[number + 1].startswith("  → ")
    assert "things are wrong. The network was not asked: add --online" in lines[-3]
    assert lines[-2:] == [f"Begin with: {lines[number][2:]}", lines[number + 1]]
    assert google.requests == []


def test_new_machine_from_the_shell(tmp_path: Path) -> None:
    """Nothing is set up: the first line to type is named, and the exit status says so."""
    environment = {**os.environ, "DATABASE_URL": f"sqlite:///{tmp_path}/new.sqlite3"}
    done = subprocess.run(
        [sys.executable, "manage.py", "wallet_doctor"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1, done.stderr
    assert "→ manage.py migrate" in done.stdout
    assert "No wallet is configured" in done.stdout


@pytest.mark.parametrize(
    ("options", "code", "named"),
    [
        ({"credentials": "{"}, "E003", "not JSON"),
        ({"issuer_id": "shop"}, "E002", "issuer_id"),
        ({"isuer_id": "1"}, "E002", "'issuer_id'"),
        ({"requests_per_second": 50, "api_url": API_URL}, "google_rate", "50"),
    ],
)
def test_google_that_is_set_up_wrong(
    configure: Configure, options: dict[str, Any], code: str, named: str
) -> None:
    """Mistakes in the options are named as `manage.py check` names them."""
    configure(**options)
    status, bad = examine()
    assert status == 1
    assert named in bad[code]["text"]
    assert bad[code]["fix"]


def test_web_service_that_is_not_mounted(
    make_cards: MakeCards, configure_apple: ConfigureApple
) -> None:
    """Passes that send phones to a path of nobody's."""
    configure_apple(web_service_url="https://shop.example.com/passes")
    _, bad = examine()
    assert "/passes/v1/" in bad["apple_web_service"]["text"]
    configure_apple(web_service_url="https://shop.example.com/wallet/apple")
    assert "apple_web_service" not in examine()[1]


@pytest.mark.parametrize(
    ("vendor", "options", "codes"),
    [
        ("sqlite", {}, ["sqlite_mode"]),
        ("sqlite", {"transaction_mode": "IMMEDIATE"}, []),
        ("mysql", {}, []),  # Django's own default is the right one
        ("mysql", {"isolation_level": "repeatable read"}, ["isolation_level"]),
        ("mysql", {"isolation_level": None}, ["isolation_level"]),
        ("postgresql", {}, []),
    ],
)
def test_database_in_which_workers_get_in_each_others_way(
    vendor: str, options: dict[str, Any], codes: list[str]
) -> None:
    """Each with the entry of DATABASES that mends it."""
    found = list(judge_options(vendor, options))
    assert [finding.code for finding in found] == codes
    assert all("DATABASES" in finding.fix for finding in found)


def test_card_that_cannot_be_read(
    make_cards: MakeCards, configure: Configure, settings: Settings
) -> None:
    """The source's exception is named by its class; what it says may be about a customer."""
    make_cards(1)
    configure(CARD_SOURCE=f"{__name__}.{SourceThatFails.__name__}")
    _, bad = examine()
    assert "KeyError" in bad["cards"]["text"]
    assert "planted-secret" not in json.dumps(bad)


def test_cards_without_passes(program: LoyaltyProgram) -> None:
    """Cards that were there before the app are in no wallet until somebody says so."""
    LoyaltyCard.objects.bulk_create([LoyaltyCard(program=program, card_number="1")])
    assert "no_passes" in examine()[1]


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


def test_what_the_status_says(right_cards: MakeCards) -> None:
    """A card that stays wrong is told here, too, with what to do."""
    [card] = right_cards(1)
    card.record("earn", points=1)
    WalletPass.objects.update(due_at=timezone.now() - timedelta(hours=3))
    _, bad = examine()
    assert bad["oldest_due"]["fix"]


def test_doctor_sends_nobody_to_itself(right_cards: MakeCards, settings: Settings) -> None:
    """Where the status says to run the doctor, the doctor says why instead."""
    [card] = right_cards(1)
    card.record("earn", points=1)
    settings.LOYALTY_WALLET = {"WALLETS": {}}
    status, bad = examine()
    assert status == 1
    assert {"W001", "not_configured"} <= set(bad)
    assert [finding for finding in bad.values() if finding["fix"].endswith("wallet_doctor")] == []


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


def test_authorization_that_a_proxy_takes_away(
    make_cards: MakeCards, configure_apple: ConfigureApple, live_server: LiveServer
) -> None:
    """Every phone would be refused, and the log would only say 401."""
    with serving(proxy_to(live_server.url)) as url:
        configure_apple(web_service_url=f"{url}/wallet/apple")
        _, bad = examine("--online")
    assert "does not arrive" in bad["web_service"]["text"]
    assert "proxy_set_header Authorization" in bad["web_service"]["fix"]


@pytest.mark.parametrize(
    ("status", "headers", "named"),
    [
        (301, {"Location": "https://www.example.com/"}, "leads elsewhere"),
        (400, {}, "does not know this host"),
        (404, {}, "Nothing of ours"),
        (401, {"WWW-Authenticate": "Basic"}, "Somebody else answers"),
        (200, {}, "Somebody else answers"),
    ],
)
def test_somebody_else_at_our_url(
    make_cards: MakeCards,
    configure_apple: ConfigureApple,
    status: int,
    headers: dict[str, str],
    named: str,
) -> None:
    """What answers in place of our web service is told apart, each with its remedy."""
    with serving(answering(status, headers=headers)) as url:
        configure_apple(web_service_url=f"{url}/wallet/apple")
        _, bad = examine("--online")
    assert named in bad["web_service"]["text"]
    assert bad["web_service"]["fix"]


def test_nobody_at_our_url(make_cards: MakeCards, configure_apple: ConfigureApple) -> None:
    """A host that phones cannot reach either."""
    configure_apple(web_service_url="http://127.0.0.1:9/wallet/apple")
    _, bad = examine("--online")
    assert "cannot be reached" in bad["web_service"]["text"]


@pytest.mark.parametrize(
    ("robots", "code"),
    [
        (b"User-agent: *\nDisallow: /wallet/\n", "robots"),
        (b"User-agent: Googlebot\nDisallow: /\n", "robots"),
        (b"User-agent: *\nDisallow: /admin/\n", None),
        (None, None),
    ],
)
def test_robots_that_keep_google_out(
    configure: Configure, live_server: LiveServer, robots: bytes | None, code: str | None
) -> None:
    """Google obeys robots.txt for its callbacks: a removal would never be known."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        if request.path != "/robots.txt":
            proxy_to(live_server.url)(request)
        elif robots is None:
            answering(404, b"User-agent: *\nDisallow: /\n")(request)
        else:
            answering(200, robots)(request)

    with serving(answer) as url:
        configure(callback_url=f"{url}/wallet/google/callback/")
        _, bad = examine("--online")
        assert {"robots", "callback"} & set(bad) == ({code} if code else set())
        assert ("callback" in good("--online")) is (code is None)


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


@pytest.mark.parametrize(
    "credentials",
    [
        '{"client_email": "a@b.example", "token_uri": "https://x.example", "private_key": "planted"}',
        "-----BEGIN PRIVATE KEY-----\nplanted\n-----END PRIVATE KEY-----",
        f"planted{'x' * 300}",
        lambda: (_ for _ in ()).throw(RuntimeError("planted")),
    ],
    ids=["key that is none", "pem", "long", "callable"],
)
def test_secrets_are_shown_by_no_command(
    configure: Configure,
    configure_apple: ConfigureApple,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    credentials: Any,
) -> None:
    """However a key is wrong, and whatever is asked, it is neither printed nor logged."""
    configure(credentials=credentials, STATUS_TOKEN="planted-token", issuer_id="1")
    configure_apple(
        private_key="-----BEGIN PRIVATE KEY-----\nplanted\n-----END PRIVATE KEY-----",
        private_key_password="planted",
    )
    output = StringIO()
    for command in (
        ("wallet_doctor",),
        ("wallet_doctor", "--online", "--json"),
        ("wallet_status",),
        ("wallet_status", "--json"),
        ("wallet_status", "--check"),
    ):
        with contextlib.suppress(SystemExit):
            call_command(*command, stdout=output, stderr=output)
    printed = capsys.readouterr()
    assert "E003" in output.getvalue() or "wrong" in output.getvalue()
    for text in (output.getvalue(), caplog.text, printed.out, printed.err):
        assert "planted" not in text
