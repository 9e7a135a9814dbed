"""Building the configured wallets: every mistake is refused by alias and by name."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from pytest_django import Settings

from loyalty_wallet.conf import WalletConf
from loyalty_wallet.registry import build_wallet, get_wallets
from loyalty_wallet.wallets.google import GoogleWallet

BACKEND = "loyalty_wallet.wallets.google.GoogleWallet"
SOUND = {"issuer_id": "3388000000000000001", "credentials": "key.json"}


def google(**options: Any) -> dict[str, Any]:
    """Return LOYALTY_WALLET with one Google wallet."""
    return {"WALLETS": {"google": {"BACKEND": BACKEND, "OPTIONS": {**SOUND, **options}}}}


class NearlyWallet:
    """Not a wallet, however it looks."""


class ShopWallet(GoogleWallet):
    """A wallet of the shop's own, with one more option and one that is decided."""

    def __init__(self, alias: str, *, branch: str, **options: Any) -> None:
        super().__init__(alias, **options)
        self.branch = branch


def test_wallets_come_by_alias_in_order(settings: Settings) -> None:
    """Each alias has its wallet, with the options that the settings give it."""
    settings.LOYALTY_WALLET = {
        "WALLETS": {
            "second": {"BACKEND": BACKEND, "OPTIONS": {**SOUND, "concurrency": 4}},
            "first": {"BACKEND": BACKEND, "OPTIONS": {**SOUND, "timeout_seconds": 3}},
        }
    }
    wallets = get_wallets()
    assert list(wallets) == ["second", "first"]
    assert [wallet.alias for wallet in wallets.values()] == ["second", "first"]
    assert wallets["second"].concurrency == 4
    assert wallets["first"].timeout_seconds == 3


def test_defaults_are_googles_advice(settings: Settings) -> None:
    """Without a word: 20 requests a second, 10 s for an attempt, 16 in flight."""
    settings.LOYALTY_WALLET = google()
    wallet = get_wallets()["google"]
    assert wallet.requests_per_second == 20
    assert wallet.timeout_seconds == 10
    assert wallet.concurrency == 16


def test_wallets_are_built_once_per_setting(settings: Settings) -> None:
    """Wallets are kept until LOYALTY_WALLET changes; then they are built anew."""
    settings.LOYALTY_WALLET = google()
    wallet = get_wallets()["google"]
    assert get_wallets()["google"] is wallet
    with override_settings(LOYALTY_WALLET=google(concurrency=2)):
        assert get_wallets()["google"].concurrency == 2
    assert get_wallets()["google"].concurrency == wallet.concurrency


@pytest.mark.parametrize("value", [1, 64])
def test_concurrency_goes_up_to_64(value: int) -> None:
    """At most 64 requests are in flight per wallet."""
    wallet = build_wallet(
        "google", WalletConf(backend=BACKEND, options=SOUND | {"concurrency": value})
    )
    assert wallet.concurrency == value


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://localhost", "https://a.example/"])
def test_api_root_is_taken(url: str) -> None:
    """https anywhere, plain http on this machine."""
    options = {**SOUND, "api_url": url}
    wallet = build_wallet("google", WalletConf(backend=BACKEND, options=options))
    assert isinstance(wallet, GoogleWallet)
    assert wallet.api_url == url


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"issuer": "1"}, "['OPTIONS'] has no key 'issuer'. Did you mean 'issuer_id'?"),
        ({"credential": "1"}, "has no key 'credential'. Did you mean 'credentials'?"),
        ({"request_per_second": 1}, "Did you mean 'requests_per_second'?"),
        ({"ISSUER_ID": "1"}, "['OPTIONS'] has no key 'ISSUER_ID'. Known: issuer_id, credentials,"),
        ({"alias": "x"}, "['OPTIONS'] has no key 'alias'."),
        ({"issuer_id": "my shop"}, "issuer_id must be the issuer's number"),
        ({"issuer_id": ""}, "issuer_id must be the issuer's number"),
        ({"issuer_id": "1.2"}, "issuer_id must be the issuer's number"),
        ({"api_url": "http://wallet.example"}, "api_url must be https; plain http is for loopback"),
        ({"api_url": "http://127.0.0.1.evil.example"}, "api_url must be https"),
        ({"api_url": "http://127.0.0.1@evil.example"}, "api_url must be https"),
        ({"api_url": "wallet.example"}, "api_url must be https"),
        ({"api_url": "https://wallet.example/walletobjects/v1"}, "must be a root without a path"),
        ({"api_url": "https://wallet.example?x=1"}, "must be a root without a path"),
        ({"api_url": "https://"}, "must be a root without a path"),
        ({"concurrency": 0}, "concurrency must be from 1 to 64"),
        ({"concurrency": 65}, "concurrency must be from 1 to 64"),
        ({"requests_per_second": 0}, "requests_per_second must be positive, or None"),
        ({"requests_per_second": "20"}, "['OPTIONS']: "),
        ({"timeout_seconds": 0}, "timeout_seconds must be positive"),
        ({"timeout_seconds": None}, "['OPTIONS']: "),
        ({"timeout_seconds": float("nan")}, "timeout_seconds must be positive"),
        ({"timeout_seconds": 115}, "timeout_seconds must be below 115"),
        ({"concurrency": 2.5}, "concurrency must be from 1 to 64"),
        ({"issuer_id": "٣٣"}, "issuer_id must be the issuer's number"),
    ],
)
def test_senseless_option_is_refused(
    settings: Settings, options: dict[str, Any], message: str
) -> None:
    """A mistake in OPTIONS names the alias and the option, with the nearest spelling."""
    settings.LOYALTY_WALLET = google(**options)
    with pytest.raises(ImproperlyConfigured) as refusal:
        get_wallets()
    assert str(refusal.value).startswith("LOYALTY_WALLET['WALLETS']['google']['OPTIONS']")
    assert message in str(refusal.value)


@pytest.mark.parametrize("missing", ["issuer_id", "credentials"])
def test_missing_option_is_named(missing: str) -> None:
    """What a wallet cannot do without is asked for by name."""
    options = {name: value for name, value in SOUND.items() if name != missing}
    with pytest.raises(ImproperlyConfigured, match=rf"\['OPTIONS'\] must define '{missing}'\."):
        build_wallet("google", WalletConf(backend=BACKEND, options=options))


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        ("loyalty_wallet.wallets.gogle.GoogleWallet", "No module named"),
        ("loyalty_wallet.wallets.google.GogleWallet", "GogleWallet"),
        ("GoogleWallet", "doesn't look like a module path"),
        (f"{__name__}.NearlyWallet", "is not a Wallet"),
        (f"{__name__}.google", "is not a Wallet"),
    ],
)
def test_wrong_backend_is_refused(backend: str, message: str) -> None:
    """A BACKEND that is missing, or no wallet, is refused by alias."""
    with pytest.raises(ImproperlyConfigured) as refusal:
        build_wallet("till", WalletConf(backend=backend, options=SOUND))
    assert str(refusal.value).startswith("LOYALTY_WALLET['WALLETS']['till']['BACKEND']: ")
    assert message in str(refusal.value)


def test_subclass_adds_an_option() -> None:
    """A wallet of the shop's own has the options of all its constructors."""
    backend = f"{__name__}.ShopWallet"
    wallet = build_wallet(
        "google",
        WalletConf(backend=backend, options={**SOUND, "branch": "north", "concurrency": 2}),
    )
    assert isinstance(wallet, ShopWallet)
    assert (wallet.branch, wallet.concurrency) == ("north", 2)
    with pytest.raises(ImproperlyConfigured, match="must define 'branch'"):
        build_wallet("google", WalletConf(backend=backend, options=SOUND))


def test_no_wallet_shows_its_key(settings: Settings) -> None:
    """Neither a wallet nor the refusal to build one shows its credentials."""
    key = '{"private_key": "s3cr3t"}'
    settings.LOYALTY_WALLET = google(credentials=key)
    assert "s3cr3t" not in repr(get_wallets())
    assert "s3cr3t" not in repr(vars(get_wallets()["google"]))
    settings.LOYALTY_WALLET = google(credentials=key, concurrency=0)
    with pytest.raises(ImproperlyConfigured) as refusal:
        get_wallets()
    assert "s3cr3t" not in str(refusal.value)
