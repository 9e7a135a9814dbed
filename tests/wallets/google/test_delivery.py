"""How one card gets to Google: which requests, in which order, and how often."""

from __future__ import annotations

from collections import Counter

import pytest

from loyalty_wallet.exceptions import (
    ClassMissingError,
    LeaseLostError,
    NetworkError,
    NotFoundError,
    RejectedError,
    UnavailableError,
)
from loyalty_wallet.wallets.base import Outcome

from .conftest import Bench, permit, together


def test_new_card_of_a_new_program(bench: Bench) -> None:
    """The class comes before the object, and each is patched before it is inserted."""
    update = bench.update()
    assert bench.deliver_one(update) is Outcome.CREATED
    assert bench.sent == ["PATCH class", "POST class", "PATCH object", "POST object"]
    present = {name: value for name, value in update.payload.items() if value is not None}
    assert bench.google.objects == {update.remote_id: present}
    assert set(bench.google.classes) == {update.program.remote_id}


def test_known_card_costs_one_request(bench: Bench) -> None:
    """A changed balance is one PATCH."""
    bench.set_up()
    points = {"loyaltyPoints": {"label": "Beans", "balance": {"int": 777}}}
    update = bench.update("card-0", is_known=True, payload=points)
    assert bench.deliver_one(update) is Outcome.UPDATED
    assert bench.sent == ["PATCH object"]
    assert bench.google.objects[update.remote_id]["loyaltyPoints"] == points["loyaltyPoints"]


def test_patch_clears_what_is_none(bench: Bench) -> None:
    """Expiry and barcode that the card has lost are gone at Google."""
    bench.set_up()
    update = bench.update(
        "card-0", is_known=True, payload={"validTimeInterval": None, "barcode": None}
    )
    bench.deliver_one(update)
    stored = bench.google.objects[update.remote_id]
    assert "validTimeInterval" not in stored
    assert "barcode" not in stored


def test_answers_are_asked_for_compactly(bench: Bench) -> None:
    """Every request asks for the id alone, objects whether anybody has them, no white space."""
    bench.deliver_one(bench.update())
    for kind, fields in (("object", "id,hasUsers"), ("class", "id")):
        queries = [dict(entry.query) for entry in bench.google.requests if entry.kind == kind]
        assert queries
        assert all(query == {"fields": fields, "prettyPrint": "false"} for query in queries)


def test_lost_object_is_inserted_again(bench: Bench) -> None:
    """A 404 on PATCH is not a failure but an insert."""
    bench.set_up()
    update = bench.update("card-0", is_known=True)
    bench.google.forget_object(update.remote_id)
    assert bench.deliver_one(update) is Outcome.CREATED
    assert bench.sent == ["PATCH object", "POST object"]


def test_lost_object_is_left_alone_when_told_so(bench: Bench) -> None:
    """Without permission to create, the 404 is the failure `not_found`."""
    bench.set_up()
    update = bench.update("card-0", is_known=True, may_create=False)
    bench.google.forget_object(update.remote_id)
    with pytest.raises(NotFoundError):
        bench.deliver_one(update)
    assert bench.sent == ["PATCH object"]


def test_object_that_somebody_else_inserted_is_patched(bench: Bench) -> None:
    """A 409 on insert turns into a PATCH of the same payload."""
    bench.set_up()
    update = bench.update("card-0", is_known=True, payload={"accountName": "Grace"})
    bench.google.fail(object_id=update.remote_id, method="PATCH", status=404, times=1)
    assert bench.deliver_one(update) is Outcome.UPDATED
    assert bench.sent == ["PATCH object", "POST object", "PATCH object"]
    assert bench.google.objects[update.remote_id]["accountName"] == "Grace"


def test_class_that_somebody_else_inserted_is_patched(bench: Bench) -> None:
    """The same holds for a class."""
    bench.set_up()
    bench.google.fail(endpoint="class", method="PATCH", status=404, times=1)
    bench.deliver_one(bench.update("card-0"))
    assert bench.sent == ["PATCH class", "POST class", "PATCH class", "PATCH object"]


def test_insert_whose_answer_was_lost_makes_no_second_object(bench: Bench) -> None:
    """The attempt fails, the next one finds the object and brings it up to date."""
    update = bench.update()
    bench.google.misbehave("close_after", endpoint="object", method="POST", times=1)
    with pytest.raises(NetworkError):
        bench.deliver_one(update)
    assert bench.deliver_one(update) is Outcome.UPDATED
    assert len(bench.google.objects) == 1


def test_class_is_sent_once_for_all_new_cards(bench: Bench) -> None:
    """16 cards that start at once wait for one class request."""
    assert bench.deliver(*bench.updates(16)) == [Outcome.CREATED] * 16
    assert Counter(bench.sent) == {
        "PATCH class": 1,
        "POST class": 1,
        "PATCH object": 16,
        "POST object": 16,
    }


def test_changed_class_is_sent_once_and_last(bench: Bench) -> None:
    """New colours never hold back a balance: objects first, then the class, once for all."""
    bench.set_up(16)
    updates = bench.updates(16, is_known=True, is_program_changed=True)
    assert bench.deliver(*updates) == [Outcome.UPDATED] * 16
    assert bench.sent[0] == "PATCH object"
    assert Counter(bench.sent) == {"PATCH object": 16, "PATCH class": 1}
    bench.forget_requests()
    bench.deliver_one(bench.update("card-0", is_known=True, is_program_changed=True))
    assert bench.sent == ["PATCH object", "PATCH class"]


def test_changed_class_of_an_unchanged_card(bench: Bench) -> None:
    """When only the program has changed, the object is not sent."""
    bench.set_up()
    update = bench.update("card-0", is_known=True, is_program_changed=True, is_changed=False)
    assert bench.deliver_one(update) is Outcome.UNCHANGED
    assert bench.sent == ["PATCH class"]


def test_refused_change_of_a_class_does_not_hold_back_balances(bench: Bench) -> None:
    """The objects are right before the class fails."""
    bench.set_up()
    bench.google.fail(endpoint="class", status=400)
    update = bench.update(
        "card-0", is_known=True, is_program_changed=True, payload={"accountName": "Grace"}
    )
    with pytest.raises(RejectedError):
        bench.deliver_one(update)
    assert bench.google.objects[update.remote_id]["accountName"] == "Grace"


def test_lost_class_is_made_again_once(bench: Bench) -> None:
    """A class that we knew and Google lost is made again once, and every insert goes through."""
    updates = bench.updates(8, is_known=True)
    assert bench.deliver(*updates) == [Outcome.CREATED] * 8
    assert Counter(bench.sent) == {
        "PATCH object": 8,
        "POST object": 16,
        "PATCH class": 1,
        "POST class": 1,
    }


def test_refused_class_costs_one_request(bench: Bench) -> None:
    """When Google refuses the class, each card fails for it, without asking again."""
    bench.google.fail(endpoint="class", status=400, reason="invalidResource", message="No logo.")
    results = [*bench.deliver(*bench.updates(5))]
    assert [type(result) for result in results] == [RejectedError] * 5
    assert {str(result) for result in results} == {"No logo."}
    assert bench.sent == ["PATCH class"]


def test_refused_class_is_remembered_for_the_session(bench: Bench) -> None:
    """Cards that come later in the same run do not ask again either."""
    bench.google.fail(endpoint="class", status=400)

    async def twice() -> list[Outcome | BaseException]:
        async with bench.wallet.connect() as session:
            first = await together(session, bench.update("card-1"))
            return first + await together(session, bench.update("card-2"))

    assert [type(result) for result in bench.loop.run(twice())] == [RejectedError] * 2
    assert bench.sent == ["PATCH class"]


def test_class_in_trouble_is_tried_again(bench: Bench) -> None:
    """A 503 for the class fails this attempt of each card; the next attempt asks once more."""
    bench.google.fail(endpoint="class", status=503, times=1)

    async def twice() -> list[list[Outcome | BaseException]]:
        async with bench.wallet.connect() as session:
            return [await together(session, *bench.updates(4)) for _ in range(2)]

    first, second = bench.loop.run(twice())
    assert [type(result) for result in first] == [UnavailableError] * 4
    assert second == [Outcome.CREATED] * 4
    assert bench.sent.count("PATCH class") == 2


def test_class_that_cannot_be_made_is_missing(bench: Bench) -> None:
    """When Google knows no such class after it was sent, the failure says so."""
    bench.google.fail(endpoint="class", status=404)
    with pytest.raises(ClassMissingError) as failure:
        bench.deliver_one(bench.update())
    assert failure.value.http_status == 404


def test_class_that_stays_lost_is_missing(bench: Bench) -> None:
    """An insert that answers 404 after the class was made again fails the card."""
    bench.google.fail(endpoint="object", method="POST", status=404, reason="classNotFound")
    with pytest.raises(ClassMissingError):
        bench.deliver_one(bench.update(is_known=True))
    assert bench.sent.count("POST object") == 2


def test_notification_is_asked_for_only_when_told(bench: Bench) -> None:
    """A customer is told by a PATCH when asked to, and never by an insert."""
    bench.deliver_one(bench.update(notify=True))
    bench.deliver_one(bench.update(is_known=True, notify=True))
    bench.deliver_one(bench.update(is_known=True))
    *_, insert, loud, silent = bench.google.object_requests
    assert (insert.method, loud.method, silent.method) == ("POST", "PATCH", "PATCH")
    assert "notifyPreference" not in insert.body
    assert loud.body["notifyPreference"] == "NOTIFY_ON_UPDATE"
    assert "notifyPreference" not in silent.body


def test_every_request_has_its_permit(bench: Bench) -> None:
    """The rate limit is asked before each request, those for the class included."""
    asked = 0

    async def counting() -> None:
        nonlocal asked
        asked += 1

    bench.deliver(*bench.updates(3), permit=counting)
    assert asked == len(bench.sent) == 8


def test_nothing_is_sent_without_a_permit(bench: Bench) -> None:
    """A lease that has ended stops the card before its first request."""

    async def refusing() -> None:
        raise LeaseLostError("Ended.")

    with pytest.raises(LeaseLostError):
        bench.deliver_one(bench.update(), permit=refusing)
    assert bench.sent == []


def test_lost_lease_of_one_card_fails_no_other(bench: Bench) -> None:
    """When the card that went ahead with the class loses its lease, the next one takes over."""
    calls = 0

    async def refuses_first() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise LeaseLostError("Ended.")
        await permit()

    results = bench.deliver(*bench.updates(4), permit=refuses_first)
    assert isinstance(results[0], LeaseLostError)
    assert results[1:] == [Outcome.CREATED] * 3
