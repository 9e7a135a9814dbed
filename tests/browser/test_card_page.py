"""The card page as customers meet it: on a desktop, on an iPhone, on an Android phone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram

from .chromium import Scheme, Size, System
from .conftest import OpenPage
from .expecting import expect


@pytest.fixture
def card(
    live_site: str, program: LoyaltyProgram, configure_apple: Callable[..., None]
) -> LoyaltyCard:
    configure_apple(web_service_url=f"{live_site}/wallet/apple")
    program.kind = LoyaltyProgram.Kind.HYBRID
    program.background_color = "#0b3d2e"
    program.save()
    return LoyaltyCard.objects.create(
        program=program,
        card_number="4711-0815",
        holder_name="Ada Adler",
        points_balance=12450,
        stamps=7,
        tier="Gold",
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("size", "system"), [("desktop", "linux"), ("phone", "iphone"), ("phone", "android")]
)
def test_page_is_accessible_and_fits(
    page: OpenPage, card: LoyaltyCard, size: Size, scheme: Scheme, system: System
) -> None:
    """axe finds nothing serious, and nothing sticks out, whatever it is read on."""
    window = page(card.get_card_url(), size=size, scheme=scheme, system=system)
    window.shoot(f"card-{size}-{system}-{scheme}")
    expect(window.page.get_by_role("heading", level=1)).to_have_text("Coffee Club")
    assert window.serious_violations() == []
    assert not window.scrolls_sideways()
