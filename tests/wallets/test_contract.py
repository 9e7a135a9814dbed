"""What every wallet must do, done by three: Google's and Apple's over their emulators, and one in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.emulator.apple import ApnsEmulator, Authority
from loyalty_wallet.models import AppleDevice, AppleRegistration, LoyaltyCard, WalletPass
from loyalty_wallet.testing.contract import ALIAS, ProviderDouble, Trouble, WalletContract
from tests.phonefront import PASS_TYPE, TEAM, authority

from .memory import LockerDouble

__all__ = ["authority"]


class GoogleDouble(ProviderDouble):
    """The emulated Google."""

    backend = "loyalty_wallet.wallets.google.GoogleWallet"

    def __init__(self, google: GoogleEmulator) -> None:
        self.google = google

    @property
    def options(self) -> dict[str, Any]:
        return {
            **self.google.wallet_options,
            "requests_per_second": None,
        }

    @property
    def bad_options(self) -> dict[str, Any]:
        return {"credentials": "no-such-key.json"}

    def balance(self, remote_id: str) -> int | None:
        found = self.google.objects.get(remote_id)
        return None if found is None else int(found["loyaltyPoints"]["balance"]["int"])

    def count_requests(self) -> int:
        return len(self.google.object_requests)

    def suffer(self, trouble: Trouble, *, times: int | None) -> None:
        match trouble:
            case Trouble.UNAVAILABLE:
                self.google.fail(times=times, endpoint="object")
            case Trouble.RATE_LIMITED:
                self.google.fail(times=times, endpoint="object", status=429, retry_after=0.05)
            case Trouble.TIMEOUT:
                self.google.misbehave("hang", times=times, endpoint="object")
            case Trouble.NETWORK:
                self.google.stop()
            case Trouble.REJECTED:
                self.google.fail(times=times, endpoint="object", status=400)
            case Trouble.UNAUTHORIZED:
                self.google.revoke_key()
                self.google.revoke_tokens()

    def recover(self) -> None:
        self.google.heal()
        self.google.restore_key()
        with suppress(RuntimeError):
            self.google.start()


class AppleDouble(ProviderDouble):
    """The emulated APNs, and a phone that holds every card."""

    backend = "loyalty_wallet.wallets.apple.AppleWallet"
    codes = {Trouble.REJECTED: "push_refused", Trouble.UNAUTHORIZED: "misconfigured"}

    def __init__(self, apns: ApnsEmulator, authority: Authority, root: Path) -> None:
        self.apns, self.authority, self.root = apns, authority, root

    @property
    def options(self) -> dict[str, Any]:
        return {
            "pass_type_identifier": PASS_TYPE,
            "team_identifier": TEAM,
            "certificate": self.authority.certificate_pem,
            "private_key": self.authority.private_key_pem,
            "wwdr_certificate": self.authority.wwdr_pem,
            "web_service_url": "https://shop.example.com/wallet/apple",
            "apns_url": self.apns.url,
            "apns_ca": str(self.root),
            "throttle_score": None,
        }

    @property
    def bad_options(self) -> dict[str, Any]:
        return {"private_key": self.authority.push_key_pem}

    def prepare(self, card: LoyaltyCard) -> None:
        row = WalletPass.objects.get(card_key=card.key, wallet=ALIAS)
        device = AppleDevice.objects.create(
            device_library_identifier=f"{row.pk:032x}",
            pass_type_identifier=PASS_TYPE,
            push_token=f"{row.pk:064x}",
            token_refreshed_at=row.created_at,
        )
        AppleRegistration.objects.create(device=device, wallet_pass=row)

    def balance(self, remote_id: str) -> int | None:
        """Return what the version shows that the phone was last told of."""
        row = WalletPass.objects.get(remote_id=remote_id)
        told = AppleRegistration.objects.filter(wallet_pass=row, pushed_tag=row.change_tag)
        if not told.exists():
            return None
        return int(row.payload["pass"]["storeCard"]["headerFields"][0]["value"])

    def count_requests(self) -> int:
        return len(self.apns.pushes)

    def suffer(self, trouble: Trouble, *, times: int | None) -> None:
        if trouble is Trouble.NETWORK:
            self.apns.stop()
            return
        faults = {
            Trouble.UNAVAILABLE: "service_unavailable",
            Trouble.RATE_LIMITED: "too_many_provider_token_updates",
            Trouble.TIMEOUT: "hang",
            Trouble.REJECTED: "payload_too_large",
            Trouble.UNAUTHORIZED: "bad_certificate",
        }
        self.apns.fail(None, faults[trouble], times=times)

    def recover(self) -> None:
        self.apns.heal()
        with suppress(RuntimeError):
            self.apns.start()


class TestGoogle(WalletContract):
    @pytest.fixture
    def provider(self) -> Iterator[ProviderDouble]:
        with GoogleEmulator(requests_per_second=None) as google:
            yield GoogleDouble(google)


class TestApple(WalletContract):
    @pytest.fixture
    def provider(
        self, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[ProviderDouble]:
        # APNs does not say how long to wait when it says that it is too much.
        monkeypatch.setattr("loyalty_wallet.sync.pump.delivery.PAUSE_SECONDS", 0.05)
        root = tmp_path / "root.pem"
        root.write_bytes(authority.root_pem)
        with ApnsEmulator(authority) as apns:
            yield AppleDouble(apns, authority, root)


class TestMemory(WalletContract):
    @pytest.fixture
    def provider(self, request: pytest.FixtureRequest) -> ProviderDouble:
        return LockerDouble(request.node.nodeid)
