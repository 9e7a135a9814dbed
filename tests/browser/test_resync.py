"""A person at the admin, in a real browser: is this card right, why not, and send it again."""

from __future__ import annotations

from collections.abc import Callable

from django.test import Client
from django.urls import reverse

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, SyncRun, WalletPass
from loyalty_wallet.sync import sync_wallet_passes
from tests.phonefront import register
from tests.shopfront import Configure, balance_at, pass_of

from .chromium import Window
from .conftest import OpenPage
from .expecting import expect

MakeCards = Callable[[int], list[LoyaltyCard]]


def card_page(card: LoyaltyCard) -> str:
    return reverse("admin:loyalty_wallet_loyaltycard_change", args=[card.pk])


def assert_legible(window: Window, name: str) -> None:
    window.shoot(f"resync-{name}")
    assert not window.scrolls_sideways()
    assert window.problems == []
    assert window.serious_violations() == []
    # Axe tries styles of its own, which the policy refuses.
    window.problems.clear()


def test_wrong_card_is_explained_and_put_right_by_keyboard(
    page: OpenPage, boss: Client, right_cards: MakeCards, google: GoogleEmulator
) -> None:
    """What differs and why is said at once; the first button mends it, without a mouse."""
    (card,) = right_cards(1)
    fault = google.fail(status=400)
    card.record("earn", points=7)
    sync_wallet_passes()
    google.heal(fault)
    window = page(card_page(card), client=boss)
    panel = window.page.get_by_role("region", name="On the phones")
    expect(panel.get_by_text("wrong", exact=True)).to_be_visible()
    expect(panel.get_by_text("failed (rejected)")).to_be_visible()
    expect(panel.get_by_role("row", name="Points 7 0")).to_be_visible()

    window.page.get_by_role("button", name="Sync now").focus()
    window.page.keyboard.press("Enter")

    expect(window.page.locator(".messagelist")).to_contain_text("1 card is up to date.")
    expect(panel.get_by_text("right", exact=True)).to_be_visible()
    assert balance_at(google, card) == 7


def test_pages_are_legible_on_every_screen(
    page: OpenPage, boss: Client, right_cards: MakeCards, configure_apple: Callable[..., None]
) -> None:
    """Card, pass and question: no serious violations, wide and light as well as narrow and dark."""
    cards = right_cards(2)
    register(cards[0])
    LoyaltyCard.objects.update(points_balance=5)
    row = pass_of(cards[0])
    urls = [card_page(cards[0]), reverse("admin:loyalty_wallet_walletpass_change", args=[row.pk])]
    for size, scheme in (("desktop", "light"), ("phone", "dark")):
        window = page(urls[0], client=boss, size=size, scheme=scheme)
        for name, url in zip(("card", "pass"), urls, strict=True):
            window.page.goto(url)
            for details in window.page.locator("details.lw-explain").all():
                assert details.get_attribute("open") is not None
            assert_legible(window, f"{name}-{size}-{scheme}")
        window.page.goto(reverse("admin:loyalty_wallet_loyaltycard_changelist"))
        window.page.locator("#action-toggle").check()
        window.page.locator("select[name=action]").select_option("resync_cards")
        window.page.locator("button[name=index]").click()
        expect(window.page.get_by_role("heading", name="Re-sync 2 cards?")).to_be_visible()
        assert_legible(window, f"question-{size}-{scheme}")


def test_enter_in_a_field_saves_the_card_and_sends_nothing(
    page: OpenPage, boss: Client, right_cards: MakeCards, configure_apple: Callable[..., None]
) -> None:
    """The buttons beside each pass are not the ones that a form's Enter key presses."""
    (card,) = right_cards(1)
    window = page(card_page(card), client=boss)
    expect(window.page.get_by_role("button", name="Sync google now")).to_be_visible()
    window.page.get_by_label("Holder").fill("Ada")
    window.page.keyboard.press("Enter")
    expect(window.page.locator(".messagelist")).to_contain_text("changed successfully")
    card.refresh_from_db()
    assert card.holder_name == "Ada"
    assert not SyncRun.objects.filter(trigger="admin").exists()


def test_all_1200_passes_that_match(page: OpenPage, boss: Client, configure: Configure) -> None:
    """Selecting all means all that match, not the page; the question carries no list of ids."""
    WalletPass.objects.bulk_create(
        WalletPass(
            card_key=f"k{number}",
            wallet="google",
            remote_id=f"r{number}",
            program_key="tea" if number % 3 else "coffee",
        )
        for number in range(1800)
    )
    url = reverse("admin:loyalty_wallet_walletpass_changelist")
    window = page(f"{url}?program=tea", client=boss)
    window.page.locator("#action-toggle").check()
    window.page.get_by_role("button", name="Select all 1200").click()
    window.page.locator("select[name=action]").select_option("resync_cards")
    window.page.locator("button[name=index]").click()
    expect(window.page.get_by_role("heading", name="Re-sync 1200 cards?")).to_be_visible()
    window.page.get_by_role("button", name="Yes, re-sync").click()
    expect(window.page.locator(".messagelist")).to_contain_text("1200 cards are marked as due")
    due = WalletPass.objects.due()
    assert (due.count(), set(due.values_list("program_key", flat=True))) == (1200, {"tea"})
