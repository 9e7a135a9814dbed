from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from loyalty_wallet.emulator.apple import ApnsEmulator, Authority
from loyalty_wallet.wallets.apple.certificates import Certificates

PASS_TYPE = "pass.com.example.loyalty"
TEAM = "ABCDE12345"


@pytest.fixture(scope="session")
def apple() -> Authority:
    """A throw-away Apple with a certificate for one pass type."""
    return Authority(pass_type_identifier=PASS_TYPE, team_identifier=TEAM)


@pytest.fixture
def apns(apple: Authority) -> Iterator[ApnsEmulator]:
    with ApnsEmulator(apple) as emulator:
        yield emulator


@pytest.fixture
def root(apple: Authority, tmp_path: Path) -> str:
    path = tmp_path / "root.pem"
    path.write_bytes(apple.root_pem)
    return str(path)


@pytest.fixture
def context(apple: Authority, root: str) -> Callable[[], ssl.SSLContext]:
    identity = Certificates(
        certificate=apple.certificate_pem,
        private_key=apple.private_key_pem,
        wwdr_certificate=apple.wwdr_pem,
        pass_type_identifier=PASS_TYPE,
        team_identifier=TEAM,
    ).load()
    return lambda: identity.client_context(root)


@pytest.fixture
def options(apns: ApnsEmulator, context: Callable[[], ssl.SSLContext]) -> dict[str, Any]:
    return {"url": apns.url, "topic": PASS_TYPE, "context": context, "timeout_seconds": 5}
