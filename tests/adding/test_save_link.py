"""`card.save_link()`: the object is there before the link is."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import connections
from django.db.models import Q

from loyalty_wallet.adding import passes, save_link
from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.exceptions import AddToWalletError
from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram, WalletPass
from loyalty_wallet.sync import issue
from loyalty_wallet.sync.leases import claim
from tests.shop.models import Member
from tests.shopfront import Configure, balance_at, pass_of

from .links import claims_in, object_in

pytestmark = pytest.mark.django_db


def objects_inserted(google: GoogleEmulator) -> int:
    return sum(request.method == "POST" for request in google.object_requests)


def test_card_is_inserted_before_it_is_linked(
    waiting_card: LoyaltyCard, google: GoogleEmulator
) -> None:
    """A program that issues nothing by itself issues when the customer asks."""
    assert not WalletPass.objects.exists()
    link = waiting_card.save_link()
    named = object_in(link)
    assert named == {"id": waiting_card.google_object_id, "classId": f"{google.issuer_id}.coffee"}
    assert named["id"] in google.objects
    assert named["classId"] in google.classes
    assert balance_at(google, waiting_card) == 120
    assert pass_of(waiting_card).due_at is None


def test_link_leads_to_an_emulator_where_it_is_told_to(
    waiting_card: LoyaltyCard, configure: Configure, google: GoogleEmulator
) -> None:
    """A demo's customer can press it, and no real Google hears of it."""
    configure(save_url=google.save_url)
    link = waiting_card.save_link()
    assert link.startswith(f"{google.url}/gp/v/save/")
    assert google.customer_saves(link) == [waiting_card.google_object_id]


def test_a_delivered_card_costs_no_request(
    right_cards: Callable[[int], list[LoyaltyCard]], google: GoogleEmulator
) -> None:
    """Links are signed here: a page may show hundreds of them."""
    [card] = right_cards(1)
    assert object_in(card.save_link())["id"] == card.google_object_id
    assert list(google.requests) == []


def test_an_outdated_card_is_linked_all_the_same(
    right_cards: Callable[[int], list[LoyaltyCard]], google: GoogleEmulator
) -> None:
    """The link names the card, not its balance, which follows with the next sync."""
    [card] = right_cards(1)
    google.fail(status=503)
    card.record("earn", points=5)
    assert object_in(card.save_link())["id"] == card.google_object_id
    assert pass_of(card).is_due


def test_link_holds_nothing_personal_and_is_short(waiting_card: LoyaltyCard) -> None:
    """Neither the holder nor the card's number are in the address that browsers remember."""
    link = waiting_card.save_link()
    assert "Ada" not in str(claims_in(link))
    assert "4711" not in str(claims_in(link)["payload"])
    assert len(link.rpartition("/")[2]) < 1800


def test_origins_are_for_embedded_buttons_only(waiting_card: LoyaltyCard) -> None:
    """They break links in e-mails, so that there are none unless they are asked for."""
    assert "origins" not in claims_in(waiting_card.save_link())
    link = waiting_card.save_link(origins=["https://shop.example"])
    assert claims_in(link)["origins"] == ["https://shop.example"]


def test_link_that_browsers_would_cut_is_refused(waiting_card: LoyaltyCard) -> None:
    """Better an error here than a card that cannot be saved."""
    origins = [f"https://shop-{number}.example" for number in range(60)]
    with pytest.raises(AddToWalletError, match="1800 are safe") as raised:
        waiting_card.save_link(origins=origins)
    assert (raised.value.code, raised.value.is_temporary) == ("invalid_card", False)


def test_one_bad_answer_is_outlasted(waiting_card: LoyaltyCard, google: GoogleEmulator) -> None:
    """A customer does not notice a single 503."""
    google.fail(times=1)
    assert object_in(waiting_card.save_link())["id"] in google.objects


@pytest.mark.parametrize(
    ("status", "code", "is_temporary"), [(503, "unavailable", True), (400, "rejected", False)]
)
def test_failure_says_why_and_leaves_the_card_due(
    waiting_card: LoyaltyCard, google: GoogleEmulator, status: int, code: str, is_temporary: bool
) -> None:
    """Nobody gets a link to a card that Google does not have; the next sync makes it."""
    google.fail(status=status)
    with pytest.raises(AddToWalletError) as raised:
        waiting_card.save_link()
    assert (raised.value.code, raised.value.is_temporary) == (code, is_temporary)
    assert pass_of(waiting_card).is_due
    google.heal()
    assert object_in(waiting_card.save_link())["id"] in google.objects


def test_refused_credentials_say_so(waiting_card: LoyaltyCard, google: GoogleEmulator) -> None:
    """A wallet that is stopped is an error of the shop's, not a link into nowhere."""
    google.revoke_key()
    with pytest.raises(AddToWalletError, match="unauthorized"):
        waiting_card.save_link()


def test_pass_that_was_set_aside_is_taken_up(
    waiting_card: LoyaltyCard, google: GoogleEmulator
) -> None:
    """A customer who asks is a person who asks."""
    google.fail(status=400)
    with pytest.raises(AddToWalletError):
        waiting_card.save_link()
    google.heal()
    WalletPass.objects.update(state=WalletPass.State.SET_ASIDE)
    assert object_in(waiting_card.save_link())["id"] in google.objects


def test_inactive_and_unknown_cards_get_no_link(waiting_card: LoyaltyCard) -> None:
    """Nothing is issued for them either: an object at Google stays for ever."""
    LoyaltyCard.objects.update(is_active=False)
    waiting_card.refresh_from_db()
    with pytest.raises(AddToWalletError) as raised:
        waiting_card.save_link()
    assert raised.value.code == "inactive"
    with pytest.raises(AddToWalletError) as raised:
        save_link("no-such-card")
    assert raised.value.code == "unknown_card"
    assert not WalletPass.objects.exists()


def test_program_without_a_google_wallet_gets_no_link(
    program: LoyaltyProgram, waiting_card: LoyaltyCard
) -> None:
    """Blank in the program means off."""
    program.google_wallet = ""
    program.save()
    with pytest.raises(AddToWalletError) as raised:
        LoyaltyCard.objects.get().save_link()
    assert raised.value.code == "no_wallet"


@pytest.mark.django_db(transaction=True)
def test_two_customers_at_once_make_one_object(
    waiting_card: LoyaltyCard, google: GoogleEmulator
) -> None:
    """Two clicks, two processes: one waits for the other's delivery, and both get the same link."""
    google.set_latency(0.2)
    links: list[str] = []

    def click() -> None:
        try:
            links.append(save_link(waiting_card.key))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=click) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({object_in(link)["id"] for link in links}) == 1
    assert len(links) == 3
    assert objects_inserted(google) == 1


def test_a_pass_that_a_dead_worker_holds_is_not_waited_for_too_long(
    waiting_card: LoyaltyCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The customer is asked to come again after seconds, not after the length of a lease."""
    monkeypatch.setattr(passes, "PATIENCE_SECONDS", 0.3)
    issue([waiting_card.key])
    claim(Q(), limit=1)
    with pytest.raises(AddToWalletError, match="Another worker") as raised:
        waiting_card.save_link()
    assert (raised.value.code, raised.value.is_temporary) == ("deferred", True)


def test_card_of_another_table(configure: Configure, google: GoogleEmulator) -> None:
    """A row of any source will do, or its key."""
    configure(CARD_SOURCE="tests.shop.sources.MemberSource")
    member = Member.objects.create(membership_no="M-1", full_name="Ada Adler", coffee_points=3)
    by_row, by_key = save_link(member), save_link("M-1")
    assert object_in(by_row) == object_in(by_key)
    assert object_in(by_row)["id"] in google.objects
