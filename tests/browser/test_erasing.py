"""A person at the admin erases a card: asked first, legibly, on any screen."""

from __future__ import annotations

from collections.abc import Callable

from django.test import Client

from loyalty_wallet.models import LoyaltyCard, WalletPass
from tests.phonefront import register
from tests.shopfront import pass_of

from .conftest import OpenPage
from .expecting import expect

MakeCards = Callable[[int], list[LoyaltyCard]]

CARDS = "/admin/loyalty_wallet/loyaltycard/"


def test_a_card_is_erased_after_a_question_on_every_screen(
    page: OpenPage, boss: Client, configure_apple: Callable[..., None], right_cards: MakeCards
) -> None:
    """The page says what goes, what stays and that it cannot be undone; yes does it."""
    card, _ = right_cards(2)
    register(card)
    for size, scheme in (("desktop", "light"), ("phone", "dark")):
        window = page(CARDS, size=size, scheme=scheme, client=boss)
        window.page.locator(f"input[name=_selected_action][value='{card.pk}']").check()
        window.page.locator("select[name=action]").select_option("erase_cards")
        window.page.locator("button[name=index]").click()
        expect(window.page.locator("#content h1")).to_contain_text("Erase 1 card from the wallets?")
        expect(window.page.locator("#content")).to_contain_text("1 phone is forgotten")
        window.shoot(f"erase-{size}-{scheme}")
        assert not window.scrolls_sideways()
        assert window.problems == []
        assert window.serious_violations() == []
        # Axe tries styles of its own, which the policy refuses.
        window.problems.clear()

    window.page.get_by_role("button", name="Yes, erase").click()

    expect(window.page.locator(".messagelist")).to_contain_text("1 card is being erased")
    assert pass_of(card).state == WalletPass.State.ERASING
