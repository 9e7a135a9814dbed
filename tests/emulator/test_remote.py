"""The control endpoint, its client, and emulators in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from loyalty_wallet.emulator import GoogleEmulator, GoogleEmulatorProcess, RemoteGoogleEmulator
from loyalty_wallet.emulator.google.operations import GoogleOperations

from .client import CLASS_ID, OBJECT_ID, Client, balance, error_of, loyalty_object

EMULATOR = [sys.executable, "-m", "loyalty_wallet.emulator"]
# The command needs no project: only that Django has settings at all.
COMMAND = """
import sys
from django.conf import settings
settings.configure()
from loyalty_wallet.management.commands.wallet_emulator import Command
Command().run_from_argv(["manage.py", "wallet_emulator", *sys.argv[1:]])
"""


@pytest.fixture
def remote(google: GoogleEmulator) -> RemoteGoogleEmulator:
    """The same emulator, seen through its control endpoint."""
    return RemoteGoogleEmulator(google.url)


def test_remote_has_every_operation() -> None:
    """Whatever can be done to an emulator here can be done to one in another process."""
    operations = {name for name in vars(GoogleOperations) if not name.startswith("_")}
    assert operations <= {*dir(RemoteGoogleEmulator)}


def test_remote_sees_the_same(
    google: GoogleEmulator, remote: RemoteGoogleEmulator, shop: Client
) -> None:
    """Resources, log, faults and numbers are the same from both sides."""
    google.fail(object_id=OBJECT_ID, times=1)
    shop.get_object()
    google.misbehave("latency", seconds=2, class_id=CLASS_ID)
    assert remote.objects == google.objects == {OBJECT_ID: loyalty_object()}
    assert remote.classes == google.classes
    assert remote.requests == google.requests
    assert remote.token_requests == google.token_requests
    assert remote.class_requests == google.class_requests
    assert remote.object_requests == google.object_requests
    assert remote.requests_for(OBJECT_ID) == google.requests_for(OBJECT_ID)
    assert remote.applied_writes(OBJECT_ID) == google.applied_writes(OBJECT_ID)
    assert remote.faults == google.faults
    assert remote.state() == google.state()
    assert remote.max_in_flight_per_object == google.max_in_flight_per_object
    assert remote.wallet_options == google.wallet_options


def test_remote_orders_and_heals_faults(remote: RemoteGoogleEmulator, shop: Client) -> None:
    """Faults ordered from outside act and are healed like any other."""
    first = remote.fail(status=500)
    remote.misbehave("html", object_id=OBJECT_ID)
    assert shop.get_object().status_code == 500
    remote.heal(first)
    assert shop.get_object().headers["Content-Type"].startswith("text/html")
    remote.heal()
    assert shop.get_object().status_code == 200


def test_remote_refusals(remote: RemoteGoogleEmulator) -> None:
    """Orders that make no sense raise at the caller."""
    with pytest.raises(ValueError, match="times"):
        remote.fail(times=0)
    with pytest.raises(KeyError):
        remote.forget_object(OBJECT_ID)
    with pytest.raises(ValueError, match="colour"):
        remote.fail(colour="red")  # type: ignore[call-arg]


def test_remote_controls_access(
    google: GoogleEmulator, remote: RemoteGoogleEmulator, shop: Client
) -> None:
    """Issuer, key and tokens can be taken away and given back from outside."""
    remote.deny_issuer()
    assert error_of(shop.get_object()) == (403, "permissionDenied")
    remote.allow_issuer()
    remote.revoke_key()
    assert shop.exchange().status_code == 400
    remote.restore_key()
    remote.revoke_tokens()
    assert error_of(shop.get_object()) == (401, "authError")
    shop.sign_in()
    remote.set_quota(1, retry_after=2)
    assert [shop.get_object().status_code for _ in range(3)] == [200, 429, 429]
    remote.set_quota(None)
    remote.set_latency(0.01)
    assert google.state()["latency_seconds"] == 0.01


def test_remote_changes_resources(remote: RemoteGoogleEmulator, shop: Client) -> None:
    """Resources can be changed, dropped and reset from outside."""
    remote.edit_object(OBJECT_ID, accountName="Ada", loyaltyPoints=None)
    assert "loyaltyPoints" not in remote.objects[OBJECT_ID]
    remote.edit_class(CLASS_ID, programName="Tea")
    assert shop.get_object().json()["classReference"]["programName"] == "Tea"
    remote.forget_class(CLASS_ID)
    remote.forget_object(OBJECT_ID)
    assert (remote.objects, remote.classes) == ({}, {})
    remote.reset()
    assert remote.requests == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "nothing", "", 404),
        ("POST", "state", "", 404),
        ("PUT", "faults", "", 404),
        ("DELETE", "faults/99", "", 404),
        ("POST", "faults", "{", 400),
        ("POST", "faults", '{"action": "explode"}', 400),
        ("GET", "requests?after=soon", "", 400),
        ("POST", "faults", '{"status": 503, "times": 3}', 200),
    ],
)
def test_control_endpoint(
    google: GoogleEmulator, method: str, path: str, body: str, status: int
) -> None:
    """The control endpoint answers JSON to whatever it is asked, and is not part of the log."""
    url = f"{google.url}/control/{path}"
    response = requests.request(method, url, data=body, timeout=5)
    assert response.status_code == status
    assert response.json() is not None
    assert google.requests == []


def test_requests_after_a_sequence_number(google: GoogleEmulator, shop: Client) -> None:
    """A long log can be read in parts."""
    entries = requests.get(f"{google.url}/control/requests?after=2", timeout=5).json()
    assert [entry["sequence"] for entry in entries] == [3]


@pytest.fixture(scope="module")
def process() -> Iterator[GoogleEmulatorProcess]:
    """An emulator in a process of its own."""
    with GoogleEmulatorProcess(requests_per_second=None, log_bodies=False, seed=7) as emulator:
        yield emulator


def test_process_serves(process: GoogleEmulatorProcess) -> None:
    """An emulator in another process serves and takes orders like one in this."""
    account: Any = json.loads(process.credentials_path.read_text(encoding="utf-8"))
    assert account == process.service_account
    client = Client(process.url, account)
    with client.session:
        client.sign_in()
        client.insert_class()
        client.insert_object()
        process.fail(times=1)
        assert client.patch_object(loyaltyPoints=balance(6)).status_code == 503
        assert client.patch_object(loyaltyPoints=balance(6)).status_code == 200
    assert process.objects == {OBJECT_ID: loyalty_object(loyaltyPoints=balance(6))}
    assert process.requests[-1].body is None
    assert process.pid != os.getpid()
    assert process.wallet_options["issuer_id"] == process.issuer_id


def test_process_that_cannot_start_says_why(process: GoogleEmulatorProcess) -> None:
    """A child that does not come up raises with its complaint and leaves nothing behind."""
    second = GoogleEmulatorProcess(port=int(process.url.rpartition(":")[2]))
    with pytest.raises(RuntimeError, match="in use"):
        second.start()
    with pytest.raises(RuntimeError, match="not been started"):
        _ = second.pid


def test_process_ends_with_its_parent(tmp_path: Path) -> None:
    """An emulator whose parent has died ends by itself."""
    command = [*EMULATOR, "--end-with-stdin", "--credentials", str(tmp_path / "account.json")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin
        assert child.stdout
        place = json.loads(child.stdout.readline())
        assert RemoteGoogleEmulator(place["url"]).state()["requests"] == 0
        child.stdin.close()
        assert child.wait(10) == 0


def test_command(tmp_path: Path) -> None:
    """The command writes the key for its owner only, says what to export and ends on Ctrl-C."""
    credentials = tmp_path / "my account.json"
    command = [sys.executable, "-c", COMMAND, "--port", "0", "--credentials", str(credentials)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as child:
        assert child.stdout
        assert child.stderr
        lines = [child.stdout.readline()]
        while not lines[-1].startswith("curl"):
            lines.append(child.stdout.readline())
        exports = [line.rstrip() for line in lines if line.startswith("export")]
        url = exports[2].removeprefix("export GOOGLE_WALLET_API_URL=")
        assert exports[:2] == [
            "export GOOGLE_WALLET_ISSUER_ID=3388000000000000001",
            f"export GOOGLE_WALLET_CREDENTIALS='{credentials}'",
        ]
        assert exports[3:] == [
            f"export GOOGLE_WALLET_CALLBACK_KEYS_URL={url}/keys",
            f"export GOOGLE_WALLET_SAVE_URL={url}/gp/v/save/",
        ]
        assert stat.S_IMODE(credentials.stat().st_mode) == 0o600
        account = json.loads(credentials.read_text(encoding="utf-8"))
        assert account["token_uri"] == f"{url}/token"
        curl = lines[-1].split(maxsplit=4)
        assert curl[:3] == ["curl", "-X", "POST"]
        requests.post(curl[3], data=curl[4].removeprefix("-d ").strip().strip("'"), timeout=5)
        (fault,) = RemoteGoogleEmulator(url).faults
        assert (fault.status, fault.times) == (503, 3)
        child.send_signal(signal.SIGINT)
        assert child.wait(10) == 0
        assert "has ended" in child.stdout.read()
        assert child.stderr.read() == ""


def test_command_refuses_other_hosts(tmp_path: Path) -> None:
    """The command serves on loopback only."""
    credentials = tmp_path / "account.json"
    command = [sys.executable, "-c", COMMAND, "--credentials", str(credentials)]
    command += ["--host", "0.0.0.0"]  # noqa: S104
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "loopback" in done.stderr
    assert not credentials.exists()


def test_command_on_a_taken_port(process: GoogleEmulatorProcess, tmp_path: Path) -> None:
    """The command says that its port is taken, without a traceback."""
    port = process.url.rpartition(":")[2]
    command = [sys.executable, "-c", COMMAND, "--port", port]
    command += ["--credentials", str(tmp_path / "account.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert port in done.stderr
    assert "Traceback" not in done.stderr
