from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from django.core.cache import cache
from pytest_django.live_server_helper import LiveServer

from loyalty_wallet.emulator.apple import ApnsEmulator, Authority, Phone
from loyalty_wallet.models import LoyaltyCard, WalletPass
from loyalty_wallet.webservice.archives import archive_of
from tests.phonefront import PASS_TYPE, apns, authority, configure_apple, iphone_pass
from tests.shopfront import configure, google, make_cards, program, right_cards

__all__ = [
    "apns",
    "authority",
    "configure",
    "configure_apple",
    "google",
    "make_cards",
    "program",
    "right_cards",
]

MakeCards = Callable[[int], list[LoyaltyCard]]


@pytest.fixture(autouse=True)
def _no_limits_from_other_tests() -> None:
    cache.clear()


@pytest.fixture
def url(live_server: LiveServer, configure_apple: Callable[..., None]) -> str:
    """Where phones find the web service."""
    url = f"{live_server.url}/wallet/apple"
    configure_apple(web_service_url=url)
    return url


@pytest.fixture
def card(url: str, right_cards: MakeCards) -> LoyaltyCard:
    """A card whose pass has its first version."""
    (made,) = right_cards(1)
    return made


@pytest.fixture
def phone(authority: Authority, apns: ApnsEmulator) -> Iterator[Phone]:
    """A phone that APNs does not wake: a test does."""
    phone = Phone(authority)
    yield phone
    phone.close()


class Client:
    """Calls the web service with a device and a pass of its own choice."""

    def __init__(self, url: str, wallet_pass: WalletPass) -> None:
        self.root = f"{url}/v1"
        self.pass_type = PASS_TYPE
        self.serial_number = wallet_pass.remote_id
        self.token = wallet_pass.authentication_token
        self.device = "d" * 32
        self.http = requests.Session()
        self.http.trust_env = False

    def send(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.http.request(
            method, f"{self.root}/{path}", timeout=10, allow_redirects=False, **options
        )

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"ApplePass {self.token}"}

    @property
    def registration(self) -> str:
        return f"devices/{self.device}/registrations/{self.pass_type}/{self.serial_number}"

    def register(self, push_token: str = "ab" * 32, **options: Any) -> requests.Response:
        options = {"headers": self.headers, "json": {"pushToken": push_token}, **options}
        return self.send("POST", self.registration, **options)

    def unregister(self, **options: Any) -> requests.Response:
        return self.send("DELETE", self.registration, **{"headers": self.headers, **options})

    def list(self, tag: str | None = None) -> requests.Response:
        params = None if tag is None else {"passesUpdatedSince": tag}
        path = f"devices/{self.device}/registrations/{self.pass_type}"
        return self.send("GET", path, params=params)

    def fetch(self, since: str = "", method: str = "GET", **options: Any) -> requests.Response:
        headers = {**self.headers, **({"If-Modified-Since": since} if since else {})}
        path = f"passes/{self.pass_type}/{self.serial_number}"
        return self.send(method, path, **{"headers": headers, **options})


@pytest.fixture
def client(url: str, card: LoyaltyCard) -> Iterator[Client]:
    client = Client(url, iphone_pass(card))
    yield client
    client.http.close()


@pytest.fixture
def archive(card: LoyaltyCard) -> bytes:
    """The card as a customer downloads it."""
    return archive_of(iphone_pass(card))


@pytest.fixture
def tamper() -> Callable[[bytes, str], bytes]:
    """Change something in an archive that a phone must notice."""

    def change(archive: bytes, what: str) -> bytes:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            files = {name: opened.read(name) for name in opened.namelist()}
        match what:
            case "change":
                files["pass.json"] = files["pass.json"].replace(b'"voided":false', b'"voided":true')
            case "add":
                files["extra.txt"] = b""
            case "remove":
                del files["logo.png"]
            case "manifest":
                files["manifest.json"] += b" "
            case "signature":
                middle = len(files["signature"]) // 2
                changed = bytearray(files["signature"])
                changed[-10] ^= 1
                changed[middle] ^= 1
                files["signature"] = bytes(changed)
        result = io.BytesIO()
        with zipfile.ZipFile(result, "w") as written:
            for name, content in files.items():
                written.writestr(name, content)
        return result.getvalue()

    return change
