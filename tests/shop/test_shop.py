"""A shop with a card table of its own: every step of a sync works with its names and its keys."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram, SyncFailure, SyncRun, WalletPass
from loyalty_wallet.sources import get_card_source
from loyalty_wallet.sync import (
    Selection,
    issue,
    preview_sync,
    sync_card_to_wallets,
    sync_wallet_passes,
    touch,
)
from tests.shop.models import Member

pytestmark = pytest.mark.django_db


def join(number: str, name: str = "Ada Example", points: int = 0) -> Member:
    """Make a member whose last visit lies far back."""
    return Member.objects.create(
        membership_no=number,
        full_name=name,
        coffee_points=points,
        last_visit=timezone.now() - timedelta(days=30),
    )


def join_with_pass(google: GoogleEmulator, *numbers: str) -> None:
    """Make members whose passes are in the wallet and right."""
    for number in numbers:
        join(number)
    touch(numbers)
    assert sync_wallet_passes().cards["synced"] == len(numbers)


def visit_by_sql(number: str, points: int) -> None:
    """Move a balance as an import would, past every model and signal."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE shop_member SET coffee_points = %s, last_visit = %s WHERE membership_no = %s",
            [points, timezone.now().replace(tzinfo=None), number],
        )


def shown(google: GoogleEmulator, number: str) -> int:
    """Return the balance that the member's phone shows."""
    remote_id = WalletPass.objects.get(card_key=number).remote_id
    balance: int = google.objects[remote_id]["loyaltyPoints"]["balance"]["int"]
    return balance


def test_pass_is_known_by_the_membership_number(google: GoogleEmulator) -> None:
    """The pass carries the shop's key and names, and the object at Google shows them."""
    join("C-0042/7", "Ada Example", 12)
    assert issue(["C-0042/7"]) == 1
    sync_wallet_passes()
    wallet_pass = WalletPass.objects.get()
    assert wallet_pass.card_key == "C-0042/7"
    assert wallet_pass.card_label == "C-0042/7 Ada Example"
    assert wallet_pass.program_key == "coffee-club"
    assert "C-0042" not in wallet_pass.remote_id
    google_object = google.objects[wallet_pass.remote_id]
    assert google_object["accountName"] == "Ada Example"
    assert google_object["accountId"] == "C-0042/7"
    assert google_object["loyaltyPoints"]["balance"] == {"int": 12}
    assert google.classes[google_object["classId"]]["programName"] == "Coffee Club"


def test_bulk_sql_is_found_and_delivered(google: GoogleEmulator) -> None:
    """A balance that moved behind our back is found by the window, delivered and on record."""
    join_with_pass(google, "M1", "M2")
    visit_by_sql("M1", 250)

    report = sync_wallet_passes()

    assert shown(google, "M1") == 250
    assert shown(google, "M2") == 0
    assert report.cards["selected"] == report.cards["synced"] == 1
    run = SyncRun.objects.latest("pk")
    assert run.pk == report.run_id
    assert run.status == SyncRun.Status.SUCCEEDED
    assert [batch.counts["updated"] for batch in run.batches.all()] == [1]
    assert not WalletPass.objects.due().exists()


def test_members_who_did_not_come_cost_nothing(google: GoogleEmulator) -> None:
    """A run without changes in the window selects nobody and sends nothing."""
    join_with_pass(google, "M1")
    before = len(google.requests)
    assert sync_wallet_passes().cards["selected"] == 0
    assert len(google.requests) == before


def test_new_member_gets_a_pass_by_discovery(google: GoogleEmulator) -> None:
    """A member whom only SQL has ever touched is discovered, and issued with a pass at once."""
    join("M1")
    visit_by_sql("M1", 5)
    assert sync_wallet_passes().wallets["google"]["created"] == 1
    assert shown(google, "M1") == 5


def test_failing_member_is_on_record_with_a_way_back(
    google: GoogleEmulator, admin_client: Client
) -> None:
    """What Google refuses becomes a SyncFailure whose card the admin link leads to."""
    join_with_pass(google, "M1", "M2")
    remote_id = WalletPass.objects.get(card_key="M1").remote_id
    google.fail(object_id=remote_id, status=400, reason="invalidResource", message="Not today.")
    visit_by_sql("M1", 1)
    visit_by_sql("M2", 2)

    report = sync_wallet_passes()

    assert report.status == "partial"
    assert list(report.failed_card_ids) == ["M1"]
    assert shown(google, "M2") == 2
    failure = SyncFailure.objects.get()
    assert (failure.run_id, failure.code, failure.http_status) == (report.run_id, "rejected", 400)
    assert (failure.reason, failure.message) == ("invalidResource", "Not today.")
    url = get_card_source().admin_url(failure.wallet_pass.card_key)
    page = admin_client.get(url)
    assert page.status_code == 200
    assert "Ada Example" in page.content.decode()

    google.heal()
    again = sync_wallet_passes(selection=Selection.of_failed())
    assert again.cards["synced"] == 1
    assert shown(google, "M1") == 1
    failure.refresh_from_db()
    assert failure.resolved_by_id == again.run_id


def test_member_that_cannot_be_read_fails_alone(google: GoogleEmulator) -> None:
    """What `to_card` raises for one member is that member's `invalid_card`, nobody else's."""
    join_with_pass(google, "M1", "M2", "M3")
    Member.objects.filter(membership_no="M2").update(level="X")
    for number in ("M1", "M2", "M3"):
        visit_by_sql(number, 9)

    report = sync_wallet_passes()

    assert [(failure.card_id, failure.code) for failure in report.failures] == [
        ("M2", "invalid_card")
    ]
    assert "KeyError" in report.failures[0].message
    assert report.cards["synced"] == 2
    assert (shown(google, "M1"), shown(google, "M2"), shown(google, "M3")) == (9, 0, 9)


def test_member_that_cannot_be_read_gets_no_pass(google: GoogleEmulator) -> None:
    """Issuing skips a member that cannot be read, and still serves the others."""
    Member.objects.create(membership_no="M1", full_name="Nobody", level="X")
    join("M2")
    assert issue(["M1", "M2", "gone"]) == 1
    assert WalletPass.objects.get().card_key == "M2"


def test_member_who_left_is_no_failure(google: GoogleEmulator) -> None:
    """A pass whose row is gone is skipped: nothing is sent, and it is not due any more."""
    join_with_pass(google, "M1")
    Member.objects.all().delete()
    touch(["M1"])
    report = sync_wallet_passes()
    assert report.status == "succeeded"
    assert report.cards["failed"] == 0
    assert not WalletPass.objects.due().exists()


def test_real_time_delivery(google: GoogleEmulator) -> None:
    """The shop pushes one member right after the visit, by membership number."""
    join("M1", points=3)
    report = sync_card_to_wallets("M1")
    assert report.status == "succeeded"
    assert shown(google, "M1") == 3


def test_preview_says_what_would_be_sent(google: GoogleEmulator) -> None:
    """A dry run compares the shop's rows with what was delivered, and changes nothing."""
    join_with_pass(google, "M1")
    Member.objects.update(coffee_points=8)
    touch(["M1"])
    due_at = WalletPass.objects.get().due_at
    preview = preview_sync(Selection())
    assert preview.wallets["google"]["updated"] == preview.cards["synced"] == 1
    assert shown(google, "M1") == 0
    assert WalletPass.objects.get().due_at == due_at


def test_our_own_cards_are_left_alone(google: GoogleEmulator) -> None:
    """With another source, saving a LoyaltyCard names no card of the shop's: no pass is made."""
    program = LoyaltyProgram.objects.create(name="Ours", slug="ours", issuer_name="Us")
    card = LoyaltyCard.objects.create(program=program, card_number="1")
    join(card.key)
    card.record("earn", points=5)
    program.background_color = "#123456"
    program.save()
    assert not WalletPass.objects.exists()


def test_admin_link_of_a_member_who_left_is_empty(google: GoogleEmulator) -> None:
    """Where there is no page, there is no link."""
    assert get_card_source().admin_url("gone") == ""


def test_shop_admin_needs_no_wallet(admin_client: Client) -> None:
    """The shop's own admin saves members without any wallet configured."""
    member = join("M1")
    response = admin_client.post(
        f"/admin/shop/member/{member.pk}/change/",
        {"membership_no": "M1", "full_name": "Grace", "coffee_points": 1, "level": "S"},
    )
    assert response.status_code == 302
    assert Member.objects.get().full_name == "Grace"
