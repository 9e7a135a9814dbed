"""Cards that leave the wallets for good: emptied at Google, forgotten here, never made again."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.utils import timezone

from loyalty_wallet.adding import save_link
from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.exceptions import AddToWalletError
from loyalty_wallet.models import ErasedCard, LoyaltyCard, LoyaltyProgram, SyncFailure, WalletPass
from loyalty_wallet.sync import (
    Selection,
    erase_card,
    issue,
    sync_card_to_wallets,
    sync_wallet_passes,
    touch,
)
from loyalty_wallet.sync.drift import audit_wallets
from tests.shopfront import Configure, pass_of

MakeCards = Callable[[int], list[LoyaltyCard]]

State = WalletPass.State

pytestmark = pytest.mark.django_db


@pytest.fixture
def card(right_cards: MakeCards) -> LoyaltyCard:
    """A card of somebody with a name, right at Google."""
    (card,) = right_cards(1)
    card.holder_name, card.tier = "Ada Adler", "Gold"
    card.save()
    assert sync_wallet_passes().status == "succeeded"
    return card


def is_blank(resource: dict[str, Any]) -> bool:
    """Say whether nothing of a customer is left in a Google object."""
    empty = ("accountId", "accountName", "loyaltyPoints", "secondaryLoyaltyPoints", "barcode")
    lists = ("textModulesData", "messages")
    return resource["state"] == "INACTIVE" and not any(
        resource.get(name) for name in (*empty, *lists)
    )


def traces_of(card: LoyaltyCard) -> str:
    """Return all that our tables say of the card's passes and failures."""
    passes = WalletPass.objects.filter(card_key=card.key)
    failures = SyncFailure.objects.filter(wallet_pass__in=passes)
    return json.dumps([*passes.values(), *failures.values()], default=str)


def test_the_object_is_emptied_and_nothing_is_left_here(
    google: GoogleEmulator, card: LoyaltyCard
) -> None:
    """Inactive and blank at Google; of the customer our tables keep no word."""
    assert erase_card(card.key) == 1

    report = sync_wallet_passes()

    assert report.status == "succeeded"
    row = pass_of(card)
    assert is_blank(google.objects[row.remote_id])
    assert (row.state, row.due_at, row.card_label) == (State.ERASED, None, "")
    assert "Ada" not in traces_of(card)
    assert card.card_number not in traces_of(card)


def test_an_erasure_is_tried_until_it_is_done(
    google: GoogleEmulator, configure: Configure, card: LoyaltyCard
) -> None:
    """A refusal is a failure like any other, and no number of them sets an erasure aside."""
    configure(SET_ASIDE_AFTER=1)
    google.fail(status=400, object_id=card.google_object_id)
    erase_card(card.key)

    for _ in range(3):
        report = sync_wallet_passes()
        assert report.failed_card_ids == (card.key,)
        assert pass_of(card).state == State.ERASING
    google.heal()

    assert sync_wallet_passes().status == "succeeded"
    assert pass_of(card).state == State.ERASED
    assert not SyncFailure.objects.open().exists()
    assert set(SyncFailure.objects.values_list("message", "reason")) == {("", "")}


@pytest.mark.usefixtures("program")
def test_nothing_brings_an_erased_card_back(google: GoogleEmulator, card: LoyaltyCard) -> None:
    """Neither sales, nor issuing, nor orders to send everything, nor an audit that mends."""
    erase_card(card.key)
    sync_wallet_passes()
    google._service.log.clear()

    card.record("earn", points=5)
    assert touch([card.key]) == issue([card.key]) == 0
    sync_card_to_wallets(card.key)
    sync_wallet_passes(selection=Selection.of_all(), force=True)
    sync_wallet_passes(selection=Selection.of_cards([card.key]), force=True)
    audit_wallets(fix=True)
    sync_wallet_passes(audits=True)
    assert erase_card(card.key) == 0

    assert {entry.method for entry in google.object_requests} <= {"GET"}
    assert pass_of(card).state == State.ERASED


def test_a_card_that_never_had_a_pass_gets_none(
    google: GoogleEmulator, program: LoyaltyProgram
) -> None:
    """Erased before its first pass was made: saving or asking for it makes none."""
    LoyaltyProgram.objects.update(auto_issue=False)
    card = LoyaltyCard.objects.create(program=LoyaltyProgram.objects.get(), card_number="C1")
    assert erase_card(card.key) == 0

    assert issue([card.key]) == 0
    with pytest.raises(AddToWalletError) as refusal:
        save_link(card)

    assert refusal.value.code == "erased"
    assert not WalletPass.objects.exists()
    assert google.requests == []


def test_an_object_that_google_does_not_know_is_not_made(
    google: GoogleEmulator, make_cards: MakeCards
) -> None:
    """Erased before its first delivery: a look, and no insert."""
    (card,) = make_cards(1)
    erase_card(card.key)

    assert sync_wallet_passes().status == "succeeded"

    assert [entry.method for entry in google.object_requests] == ["PATCH"]
    assert google.objects == google.classes == {}
    assert pass_of(card).state == State.ERASED


def test_a_pass_made_while_its_card_was_erased_is_erased_as_well(
    google: GoogleEmulator, card: LoyaltyCard
) -> None:
    """Whoever issued it had looked a moment before: the worker looks again."""
    ErasedCard.objects.create(card_key=card.key)
    WalletPass.objects.touch()

    sync_wallet_passes()

    row = pass_of(card)
    assert is_blank(google.objects[row.remote_id])
    assert row.state == State.ERASED


@pytest.mark.django_db(transaction=True)
def test_an_erasure_during_a_push_ends_erased(google: GoogleEmulator, card: LoyaltyCard) -> None:
    """Case 64: the push that is under way lands first, and the blank object after it."""
    object_id = card.google_object_id
    card.record("earn", points=5)
    is_under_way, may_go_on = threading.Event(), threading.Event()

    def hold(request: Any) -> None:
        if request.resource_id == object_id and not is_under_way.is_set():
            is_under_way.set()
            assert may_go_on.wait(10)

    google.on_request = hold

    def push() -> None:
        sync_card_to_wallets(card.key)
        connection.close()

    pushing = threading.Thread(target=push)
    pushing.start()
    assert is_under_way.wait(10)
    erase_card(card.key)
    may_go_on.set()
    pushing.join(20)
    sync_wallet_passes()

    writes = google.applied_writes(object_id)
    assert {entry.method for entry in writes[1:]} <= {"PATCH"}
    assert is_blank(google.objects[object_id])
    assert pass_of(card).state == State.ERASED
    assert "Ada" not in traces_of(card)


def test_what_shows_up_at_google_again_is_erased_again(
    google: GoogleEmulator, card: LoyaltyCard
) -> None:
    """Somebody wrote to the object by hand: an audit that mends empties it once more."""
    erase_card(card.key)
    sync_wallet_passes()
    row = pass_of(card)
    google.edit_object(row.remote_id, accountName="Ada Adler")
    WalletPass.objects.update(synced_at=timezone.now() - timedelta(hours=1))

    (audit,) = audit_wallets(fix=True)
    sync_wallet_passes()

    assert audit.counts["different"] == audit.counts["fixed"] == 1
    assert is_blank(google.objects[row.remote_id])
    assert pass_of(card).state == State.ERASED


class TestGoneCards:
    """Rows that are gone from the card table."""

    def test_a_card_that_is_gone_is_voided_and_comes_back_with_its_row(
        self, google: GoogleEmulator, card: LoyaltyCard
    ) -> None:
        """Deleted, it is blank at Google; should the row come back, so does the card."""
        row, kept = pass_of(card), LoyaltyCard.objects.get()
        card.delete()
        sync_wallet_passes()
        assert is_blank(google.objects[row.remote_id])
        row.refresh_from_db()
        assert (row.state, row.card_label) == (State.VOIDED, "")

        kept.save(force_insert=True)
        sync_wallet_passes()

        row.refresh_from_db()
        assert row.state == State.ACTIVE
        assert google.objects[row.remote_id]["accountName"] == "Ada Adler"
        assert google.objects[row.remote_id]["state"] == "ACTIVE"

    def test_rows_removed_behind_our_back_are_found(
        self, google: GoogleEmulator, right_cards: MakeCards
    ) -> None:
        """Plain SQL tells nobody; the audit of the runs looks each card up within a day."""
        gone, stays = right_cards(2)
        gone_id, stays_id = gone.google_object_id, stays.google_object_id
        LoyaltyCard.objects.filter(pk=gone.pk)._raw_delete("default")
        now = timezone.now()
        for hour in range(3):
            with time_machine.travel(now + timedelta(hours=hour)):
                sync_wallet_passes(audits=True)

        assert is_blank(google.objects[gone_id])
        assert google.objects[stays_id]["state"] == "ACTIVE"

    def test_a_source_that_finds_nothing_any_more_voids_nothing(
        self, google: GoogleEmulator, right_cards: MakeCards
    ) -> None:
        """All cards gone at once looks like the wrong table: they fail, and a person decides."""
        right_cards(20)
        LoyaltyCard.objects.all()._raw_delete("default")
        WalletPass.objects.touch()

        report = sync_wallet_passes()

        assert report.status == "failed"
        assert {failure.code for failure in report.failures} == {"cards_gone"}
        assert {alert["code"] for alert in report.alerts} >= {"failure_rate", "failed_cards"}
        assert google.object_requests == []
        assert not WalletPass.objects.exclude(state=State.ACTIVE).exists()

    def test_many_cards_may_go_while_the_source_finds_others(
        self, google: GoogleEmulator, right_cards: MakeCards
    ) -> None:
        """A shop tidies up: most cards of the run are gone, but not most cards."""
        cards = right_cards(40)
        gone = [card.pk for card in cards[:15]]
        LoyaltyCard.objects.filter(pk__in=gone).delete()

        report = sync_wallet_passes()

        assert report.status == "succeeded"
        assert WalletPass.objects.filter(state=State.VOIDED).count() == 15
