"""The admin for a shop whose cards are in a table of its own."""

from __future__ import annotations

from django.test import Client
from django.urls import reverse

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import WalletPass
from loyalty_wallet.sync import issue
from tests.shop.models import Member
from tests.shopfront import Configure

from .pages import ask, list_url, resync, text_of


def test_passes_of_foreign_cards_are_linked_and_sent(boss: Client, configure: Configure) -> None:
    """Passes lead to the shop's own page of a card, and are sent again like any other."""
    configure(CARD_SOURCE="tests.shop.sources.MemberSource")
    member = Member.objects.create(membership_no="M-7", full_name="Ada", coffee_points=3)
    issue(["M-7"])
    row = WalletPass.objects.get()
    page = boss.get(list_url("walletpass")).content.decode()
    assert reverse("admin:shop_member_change", args=[member.pk]) in page
    WalletPass.objects.update(card_label="")
    assert "Ada" in text_of(ask(boss, list_url("walletpass"), [row.pk]))
    assert resync(boss, "walletpass", [row.pk]).startswith("1 card is up to date.")


def test_card_that_is_gone_is_named_by_its_key(
    boss: Client, configure: Configure, google: GoogleEmulator
) -> None:
    """A pass whose card nobody finds any more breaks neither list nor question, and is voided."""
    configure(CARD_SOURCE="tests.shop.sources.MemberSource")
    remote_id = f"{google.wallet_options['issuer_id']}.r"
    row = WalletPass.objects.create(card_key="M-9", wallet="google", remote_id=remote_id)
    assert "M-9" in text_of(boss.get(list_url("walletpass")))
    assert "M-9" in text_of(ask(boss, list_url("walletpass"), [row.pk]))
    assert resync(boss, "walletpass", [row.pk]).startswith("1 card is up to date.")
    assert WalletPass.objects.get().state == WalletPass.State.VOIDED
