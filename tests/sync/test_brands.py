"""Several brands in one installation: accounts of their own, and a fair share of each run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db.models import F
from django.test import Client
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from loyalty_wallet.adding import current_version, save_link
from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.emulator.apple import ApnsEmulator, Authority, Phone
from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram, WalletPass
from loyalty_wallet.sync import sync_card_to_wallets, sync_wallet_passes, touch
from loyalty_wallet.webservice.archives import archive_of
from tests.phonefront import TEAM
from tests.shopfront import FAST, Configure

pytestmark = pytest.mark.django_db(transaction=True)

BRANDS = ("coffee", "books")
TOKEN = "a-token-that-nobody-guesses-0123456789"


@dataclass(frozen=True, kw_only=True)
class Brand:
    """A program with an issuer and a pass type of its own, and one card."""

    program: LoyaltyProgram
    card: LoyaltyCard
    google: GoogleEmulator
    apns: ApnsEmulator
    phone: Phone

    @property
    def object(self) -> dict[str, Any]:
        row = WalletPass.objects.get(card_key=self.card.key, wallet=self.program.google_wallet)
        found: dict[str, Any] = self.google.objects[row.remote_id]
        return found


@pytest.fixture
def brands(live_server: LiveServer, settings: Settings, tmp_path: Path) -> Iterator[list[Brand]]:
    """Two brands, each with its own Google issuer, certificate and pass type."""
    wallets: dict[str, Any] = {}
    made: list[Brand] = []
    opened: list[Any] = []
    for number, name in enumerate(BRANDS):
        authority = Authority(pass_type_identifier=f"pass.com.example.{name}", team_identifier=TEAM)
        root = tmp_path / f"{name}.pem"
        root.write_bytes(authority.root_pem)
        google = GoogleEmulator(requests_per_second=None, issuer_id=f"338800000000000000{number}")
        apns = ApnsEmulator(authority)
        google.__enter__()
        apns.__enter__()
        phone = Phone(authority)
        opened += [google, apns]
        wallets[f"google-{name}"] = {
            "BACKEND": "loyalty_wallet.wallets.google.GoogleWallet",
            "OPTIONS": {
                **google.wallet_options,
                "requests_per_second": None,
                "callback_url": f"{live_server.url}/wallet/google/callback/",
            },
        }
        wallets[f"apple-{name}"] = {
            "BACKEND": "loyalty_wallet.wallets.apple.AppleWallet",
            "OPTIONS": {
                "pass_type_identifier": f"pass.com.example.{name}",
                "team_identifier": TEAM,
                "certificate": authority.certificate_pem,
                "private_key": authority.private_key_pem,
                "wwdr_certificate": authority.wwdr_pem,
                "web_service_url": f"{live_server.url}/wallet/apple",
                "apns_url": apns.url,
                "apns_ca": str(root),
            },
        }
        program = LoyaltyProgram(
            name=f"{name} club",
            slug=name,
            issuer_name=name,
            google_wallet=f"google-{name}",
            apple_wallet=f"apple-{name}",
        )
        card = LoyaltyCard(program=program, card_number=f"{name}-1", holder_name=name)
        made.append(Brand(program=program, card=card, google=google, apns=apns, phone=phone))
    settings.LOYALTY_WALLET = {
        "WALLETS": wallets,
        "RETRY_DELAYS": FAST,
        "STATUS_TOKEN": TOKEN,
    }
    for brand in made:
        brand.program.save()
        brand.card.program = brand.program
        brand.card.save()
    yield made
    for brand in made:
        brand.phone.close()
    for server in opened:
        server.__exit__(None, None, None)


def test_two_issuers_and_two_pass_types_in_one_run(brands: list[Brand], client: Client) -> None:
    """Each card reaches its own accounts and phones: sync, save links, callbacks, web service, status."""
    report = sync_wallet_passes()
    assert report.status == "succeeded"
    assert {
        alias: counts.get("created", counts["updated"]) for alias, counts in report.wallets.items()
    } == {f"{provider}-{name}": 1 for name in BRANDS for provider in ("google", "apple")}
    for brand in brands:
        assert brand.object["accountName"] == brand.card.holder_name
        assert len(brand.google.objects) == len(brand.google.classes) == 1

        link = save_link(brand.card)
        assert brand.google.customer_saves(link) == [brand.object["id"]]
        row = WalletPass.objects.get(card_key=brand.card.key, wallet=brand.program.google_wallet)
        assert row.presence == WalletPass.Presence.IN_WALLET
        brand.phone.add(archive_of(current_version(brand.card)))

    coffee, books = brands
    books.card.record("earn", points=5)
    sync_wallet_passes()
    assert [len(brand.apns.pushes) for brand in brands] == [0, 1]
    books.phone.wake()
    (on_phone,) = books.phone.passes.values()
    assert on_phone.balance == 5
    assert books.object["loyaltyPoints"]["balance"]["int"] == 5
    assert coffee.object["loyaltyPoints"]["balance"]["int"] == 0

    answer = client.get(
        "/wallet/wallet-status/?fast=1", headers={"Authorization": f"Bearer {TOKEN}"}
    )
    assert set(answer.json()["wallets"]) == set(report.wallets)


def test_an_account_in_trouble_holds_up_no_other_brand(brands: list[Brand]) -> None:
    """One issuer has thrown us out: the other brand's cards are right, and only its own fail."""
    coffee, books = brands
    coffee.google.deny_issuer()

    report = sync_wallet_passes()

    assert report.failed_card_ids == (coffee.card.key,)
    assert books.object["accountName"] == "books"
    assert sync_card_to_wallets(books.card.key).status == "succeeded"


def strategies() -> list[str]:
    """How passes can be claimed in the database of these tests: SQLite skips no locked rows."""
    is_sqlite = "sqlite" in django_settings.DATABASES["default"]["ENGINE"]
    return ["cas"] if is_sqlite else ["skip_locked", "cas"]


@pytest.mark.parametrize("strategy", strategies())
def test_a_large_brand_does_not_starve_a_small_one(
    google: GoogleEmulator,
    configure: Configure,
    make_cards: Callable[[int], list[LoyaltyCard]],
    strategy: str,
) -> None:
    """Of one issuer: cards of a small program that became due last do not come last."""
    configure(BATCH_SIZE=10, CLAIM_STRATEGY=strategy, concurrency=1)
    large = make_cards(80)
    small_program = LoyaltyProgram.objects.create(name="Books", slug="books", issuer_name="Books")
    small = LoyaltyCard.objects.bulk_create(
        LoyaltyCard(program=small_program, card_number=f"B{number}") for number in range(5)
    )
    touch(card.key for card in small)
    WalletPass.objects.filter(card_key__in=[card.key for card in large]).update(
        due_at=F("due_at") - timedelta(hours=1), priority=WalletPass.Priority.FAILED
    )

    report = sync_wallet_passes()

    assert report.cards["synced"] == 85
    order = [entry.resource_id for entry in google.object_requests if entry.method == "PATCH"]
    places = [order.index(card.google_object_id) for card in small]
    assert max(places) < 40
