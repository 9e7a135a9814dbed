"""A look over the network: what it finds, how long it may take, and what it writes down."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Collection, Iterator
from datetime import timedelta

import pytest
from django.conf import settings as django_settings
from django.db import connections
from django.utils import timezone
from pytest_django import Settings

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.emulator.apple import ApnsEmulator, Authority
from loyalty_wallet.emulator.google.faults import Endpoint
from loyalty_wallet.models import LoyaltyCard, WalletProbe
from loyalty_wallet.monitoring.probes import run_probes
from loyalty_wallet.wallets.base import ProbeResult, Wallet
from loyalty_wallet.wallets.google import GoogleWallet
from tests.phonefront import PASS_TYPE, TEAM
from tests.shopfront import Configure

pytestmark = pytest.mark.django_db(transaction=True)

MakeCards = Callable[[int], list[LoyaltyCard]]
ConfigureApple = Callable[..., None]

Verdict = tuple[bool | None, bool | None, str, str]


def verdict(probe: WalletProbe) -> Verdict:
    return probe.is_reachable, probe.is_authorised, probe.publishing, probe.code


def test_both_are_well(
    right_cards: MakeCards, configure_apple: ConfigureApple, apns: ApnsEmulator
) -> None:
    """Both providers answer; Google has approved our class, Apple reviews none. No phone is rung."""
    right_cards(1)
    probes = run_probes()
    assert verdict(probes["google"]) == (True, True, "approved", "")
    assert verdict(probes["apple"]) == (True, True, "not_needed", "")
    assert apns.pushes == []
    assert WalletProbe.objects.in_bulk() == probes


def test_nothing_was_delivered_yet(configure: Configure, google: GoogleEmulator) -> None:
    """Without a class of ours there is nothing that Google could have reviewed."""
    assert verdict(run_probes()["google"]) == (True, True, "unknown", "")
    assert [request.method for request in google.class_requests] == ["GET"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("UNDER_REVIEW", "under_review"),
        ("underReview", "under_review"),
        ("REJECTED", "rejected"),
        ("SOMETHING_NEW", "unknown"),
    ],
)
def test_class_that_is_not_approved(
    right_cards: MakeCards, google: GoogleEmulator, status: str, expected: str
) -> None:
    """Customers cannot add cards of a class that Google has not approved."""
    right_cards(1)
    [class_id] = google.classes
    google._service.api.classes.put(class_id, {**google.classes[class_id], "reviewStatus": status})
    assert run_probes()["google"].publishing == expected


def test_class_of_somebody_else(right_cards: MakeCards, google: GoogleEmulator) -> None:
    """The issuer may have classes that we know nothing of; theirs is not our state."""
    right_cards(1)
    other = f"{google.issuer_id}.other"
    google._service.api.classes.put(other, {"id": other, "reviewStatus": "DRAFT"})
    assert run_probes()["google"].publishing == "approved"


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        (lambda google: google.deny_issuer(), (True, False, "unknown", "forbidden")),
        (lambda google: google.revoke_key(), (True, False, "unknown", "unauthorized")),
        (lambda google: google.fail(status=503), (False, None, "unknown", "unavailable")),
        (lambda google: google.fail(status=429), (True, True, "unknown", "rate_limited")),
        (lambda google: google.misbehave("html"), (False, None, "unknown", "unavailable")),
        (lambda google: google.misbehave("close_before"), (False, None, "unknown", "network")),
        (lambda google: google.stop(), (False, None, "unknown", "network")),
    ],
    ids=["denied", "revoked", "503", "429", "html", "closed", "stopped"],
)
def test_google_in_trouble(
    configure: Configure,
    google: GoogleEmulator,
    break_it: Callable[[GoogleEmulator], object],
    expected: Verdict,
) -> None:
    """What Google answers, or does not, is told apart."""
    break_it(google)
    assert verdict(run_probes()["google"]) == expected


@pytest.mark.parametrize("endpoint", ["token", "class"])
def test_google_that_hangs_is_unknown(
    configure: Configure, google: GoogleEmulator, endpoint: Endpoint
) -> None:
    """Nobody waits longer than the budget, and a hanging provider is neither up nor down."""
    google.misbehave("hang", endpoint=endpoint)
    ended = threading.Event()

    def probe() -> None:
        assert verdict(run_probes(0.3)["google"]) == (None, None, "unknown", "timeout")
        connections.close_all()
        ended.set()

    thread = threading.Thread(target=probe)
    thread.start()
    # The wallet's own timeout is 10 s: a probe that waited for it would not have ended.
    assert ended.wait(5)
    thread.join()


def test_apple_that_is_away(configure_apple: ConfigureApple, apns: ApnsEmulator) -> None:
    """No connection to APNs, while Google is well."""
    apns.stop()
    probes = run_probes()
    assert verdict(probes["apple"]) == (False, None, "unknown", "network")
    assert verdict(probes["google"])[:2] == (True, True)


@pytest.fixture
def strict_server(authority: Authority) -> Iterator[str]:
    """A server that trusts our certificate's issuer in nothing, and says so as TLS has it.

    The emulated APNs is asyncio's, which closes the connection without the alert.
    """
    context = authority.server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, pytest.raises(ssl.SSLError):
                context.wrap_socket(connection, server_side=True)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def test_apple_that_refuses_the_certificate(
    configure_apple: ConfigureApple, strict_server: str
) -> None:
    """A certificate that looks right here, and that the other side does not take."""
    stranger = Authority(pass_type_identifier=PASS_TYPE, team_identifier=TEAM)
    configure_apple(
        certificate=stranger.certificate_pem,
        private_key=stranger.private_key_pem,
        wwdr_certificate=stranger.wwdr_pem,
        apns_url=strict_server,
    )
    probe = run_probes()["apple"]
    assert verdict(probe) == (True, False, "not_needed", "misconfigured")
    assert "refuses the certificate" in probe.message


def test_key_of_the_teams_is_judged_with_each_push(
    configure_apple: ConfigureApple, authority: Authority
) -> None:
    """The connection says nothing of a key that is shown with pushes alone."""
    configure_apple(push_key=authority.push_key_pem, push_key_id=authority.push_key_id)
    assert verdict(run_probes()["apple"])[:2] == (True, None)


def test_wallet_without_a_usable_key_is_not_probed(
    configure: Configure, configure_apple: ConfigureApple
) -> None:
    """What is wrong on this machine needs no network to be told, and spoils no other probe."""
    configure_apple(certificate="no-such-file.pem")
    assert list(run_probes()) == ["google"]


def test_fresh_probe_is_not_repeated(configure: Configure, google: GoogleEmulator) -> None:
    """Whoever asks often costs Google one request a minute."""
    first = run_probes(max_age_seconds=60)
    assert run_probes(max_age_seconds=60) == first
    assert len(google.requests) == 2  # a token, and the classes
    WalletProbe.objects.update(checked_at=timezone.now() - timedelta(seconds=61))
    google.deny_issuer()
    assert run_probes(max_age_seconds=60)["google"].code == "forbidden"


def test_crowd_costs_one_probe(configure: Configure, google: GoogleEmulator) -> None:
    """Ten monitors that ask at the same moment are answered from one look."""
    google.set_latency(0.2)
    found: list[bool | None] = []

    def ask() -> None:
        from django.db import connection

        found.append(run_probes(max_age_seconds=60)["google"].is_reachable)
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 5
    assert len(google.class_requests) == 1


def test_message_is_redacted(configure: Configure, google: GoogleEmulator) -> None:
    """What a provider echoes back of our secrets is not written down."""
    email = google.service_account["client_email"]
    google.fail(status=403, message=f"{email} with Bearer ya29.planted has no access")
    probe = run_probes()["google"]
    assert probe.code == "forbidden"
    assert "planted" not in probe.message
    assert email not in probe.message


class BrokenWallet(GoogleWallet):
    async def probe(self, program_ids: Collection[str]) -> ProbeResult:
        raise RuntimeError("planted-secret")


class SilentWallet(GoogleWallet):
    probe = Wallet.probe


@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        (BrokenWallet, (None, None, "unknown", "bug")),
        (SilentWallet, (None, None, "unknown", "")),
    ],
)
def test_wallet_of_somebody_elses(
    configure: Configure, settings: Settings, backend: type[Wallet], expected: Verdict
) -> None:
    """One that cannot be probed is unknown; one that breaks says so, and not with what."""
    wallets = django_settings.LOYALTY_WALLET["WALLETS"]
    entry = {**wallets["google"], "BACKEND": f"{__name__}.{backend.__name__}"}
    settings.LOYALTY_WALLET = {"WALLETS": {"google": entry}}
    probe = run_probes()["google"]
    assert verdict(probe) == expected
    assert "planted" not in probe.message
