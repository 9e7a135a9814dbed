"""Phones that register for a pass and leave it, over a real socket."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from loyalty_wallet.emulator.apple import ApnsEmulator
from loyalty_wallet.models import AppleDevice, AppleRegistration, LoyaltyCard, WalletPass
from loyalty_wallet.sync import sync_wallet_passes
from loyalty_wallet.webservice import registrations
from tests.phonefront import iphone_pass

from .conftest import Client

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = pytest.mark.django_db(transaction=True)


class TestRegister:
    def test_new_and_known(self, client: Client) -> None:
        """201, then 200."""
        assert client.register().status_code == 201
        assert client.register().status_code == 200
        assert AppleRegistration.objects.count() == AppleDevice.objects.count() == 1

    def test_the_push_token_that_comes_last_holds(self, client: Client) -> None:
        """It is the device's; a registration that exists refreshes it all the same."""
        client.register("aa" * 32)
        before = AppleDevice.objects.get().token_refreshed_at
        client.register("bb" * 32)
        device = AppleDevice.objects.get()
        assert device.push_token == "bb" * 32
        assert device.token_refreshed_at > before

    def test_is_not_told_of_what_it_has(self, client: Client, apns: ApnsEmulator) -> None:
        """A new registration alone is no reason for a push."""
        client.register()
        WalletPass.objects.touch()
        sync_wallet_passes()
        assert apns.pushes == []

    @pytest.mark.parametrize(
        "body",
        ["", "{", "[]", "null", '{"pushToken": 1}', '{"pushToken": ""}', '{"pushToken": "../x"}'],
    )
    def test_nonsense(self, client: Client, body: str) -> None:
        """400, and nothing is kept."""
        assert client.register(json=None, data=body).status_code == 400
        assert AppleDevice.objects.count() == 0

    def test_too_much(self, client: Client) -> None:
        """413, before it is read."""
        assert client.register(json=None, data="x" * 10_000).status_code == 413

    def test_many_devices(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever has stolen one token cannot fill the table with devices of his invention."""
        monkeypatch.setattr(registrations, "MOST_DEVICES", 2)
        statuses = []
        for number in range(4):
            client.device = f"device{number}"
            statuses.append(client.register().status_code)
        assert statuses == [201, 201, 403, 403]
        assert AppleDevice.objects.count() == 2
        client.device = "device0"
        assert client.register().status_code == 200

    def test_a_device_at_a_loop(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        """Case 58: it changes one row, and is told to wait."""
        monkeypatch.setattr("loyalty_wallet.webservice.limits.time.time", lambda: 60.0)
        statuses = [client.register().status_code for _ in range(100)]
        assert statuses == [201, *[200] * 59, *[429] * 40]
        assert client.register().headers["Retry-After"] == "60"
        assert AppleDevice.objects.count() == AppleRegistration.objects.count() == 1


class TestUnregister:
    def test_is_idempotent(self, client: Client) -> None:
        """200 whether it was registered or not: a phone takes nothing else."""
        client.register()
        assert [client.unregister().status_code for _ in range(2)] == [200, 200]

    def test_another_device_keeps_the_pass(self, client: Client, card: LoyaltyCard) -> None:
        """The customer's watch has it still."""
        client.register()
        client.device = "another"
        client.register()
        client.unregister()
        assert iphone_pass(card).presence == WalletPass.Presence.IN_WALLET
        assert AppleDevice.objects.count() == 1

    def test_the_device_keeps_its_other_passes(
        self, client: Client, right_cards: MakeCards
    ) -> None:
        """One pass less is not one device less."""
        (other,) = right_cards(1)
        client.register()
        second = Client(client.root.removesuffix("/v1"), iphone_pass(other))
        second.register()
        client.unregister()
        assert list(AppleRegistration.objects.values_list("wallet_pass", flat=True)) == [
            iphone_pass(other).pk
        ]
        second.http.close()
