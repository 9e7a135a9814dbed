"""What Google answers is compared with what was sent, not letter by letter."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from loyalty_wallet.exceptions import UnavailableError
from loyalty_wallet.wallets.google.answers import read_page
from loyalty_wallet.wallets.google.dialect import differing_fields
from loyalty_wallet.wallets.google.payloads import loyalty_object
from loyalty_wallet.wallets.remote import RemotePage
from tests.wallets.cards import BARE_CARD, CARD
from tests.wallets.google.conftest import Bench, permit

FULL = loyalty_object(CARD, object_id="1.a", class_id="1.c")
BARE = loyalty_object(BARE_CARD, object_id="1.a", class_id="1.c")

Change = Callable[[dict[str, Any]], object]


def as_google_says_it() -> dict[str, Any]:
    """Return the full card in Google's spelling, with fields of its own."""
    answer = copy.deepcopy(dict(FULL))
    answer["kind"] = "walletobjects#loyaltyObject"
    answer["state"] = "active"
    answer["barcode"] |= {"kind": "walletobjects#barcode", "type": "qrCode"}
    answer["validTimeInterval"]["kind"] = "walletobjects#timeInterval"
    answer["validTimeInterval"]["end"]["date"] = "2030-12-31T23:59:00Z"
    return answer | {"hasUsers": True, "version": "1", "classReference": {}, "messages": []}


def read(bench: Bench, *, token: str = "") -> RemotePage:
    async def run() -> RemotePage:
        async with bench.wallet.connect() as session:
            return await session.list_passes(bench.update().program.remote_id, token, permit)

    return bench.loop.run(run())


def test_the_same_card_does_not_differ(bench: Bench) -> None:
    """Neither as we know Google's spelling, nor as the emulated one answers it."""
    assert differing_fields(FULL, as_google_says_it()) == []
    bench.set_up()
    page = read(bench)
    update = bench.update("card-0")
    assert [found.remote_id for found in page.passes] == [update.remote_id]
    assert page.passes[0].payload["state"] == "active"
    assert differing_fields(update.payload, page.passes[0].payload) == []
    assert page.passes[0].has_users is False


@pytest.mark.parametrize("zero", [{"balance": {"int": 0}}, {"balance": {}}, {}])
def test_what_is_empty_may_be_left_out(zero: dict[str, Any]) -> None:
    """An answer need not mention empty fields, or a balance of zero."""
    found = {name: value for name, value in BARE.items() if value not in (None, [])}
    found["loyaltyPoints"] = {"label": BARE["loyaltyPoints"]["label"], **zero}
    assert differing_fields(BARE, found) == []


@pytest.mark.parametrize(
    ("date", "differs"),
    [
        ("2030-12-31T23:59:00+00:00", False),
        ("2031-01-01T00:59:00+01:00", False),
        ("2031-01-01T00:59:00Z", True),
        ("2030-12-31T23:59:00", True),
    ],
)
def test_a_moment_is_the_same_in_any_time_zone(date: str, differs: bool) -> None:
    """But for one without a zone: nobody knows when that is."""
    found = as_google_says_it()
    found["validTimeInterval"]["end"]["date"] = date
    assert differing_fields(FULL, found) == (["validTimeInterval"] if differs else [])


def test_an_empty_text_is_no_text() -> None:
    """Whichever side has it."""
    assert differing_fields({"accountName": ""}, {}) == []
    assert differing_fields({"accountName": None}, {"accountName": ""}) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda found: found.update(state="inactive"), "state"),
        (lambda found: found.update(accountName="ADA EXAMPLE"), "accountName"),
        (lambda found: found.update(classId="1.other"), "classId"),
        (lambda found: found.pop("accountId"), "accountId"),
        (lambda found: found["loyaltyPoints"]["balance"].update(int=121), "loyaltyPoints"),
        (lambda found: found["loyaltyPoints"].update(balance={"string": "120"}), "loyaltyPoints"),
        (lambda found: found.update(loyaltyPoints="120"), "loyaltyPoints"),
        (lambda found: found.pop("secondaryLoyaltyPoints"), "secondaryLoyaltyPoints"),
        (lambda found: found["barcode"].update(type="aztec"), "barcode"),
        (lambda found: found["barcode"].pop("alternateText"), "barcode"),
        (lambda found: found["textModulesData"].pop(), "textModulesData"),
        (lambda found: found["textModulesData"].reverse(), "textModulesData"),
        (lambda found: found.update(textModulesData=None), "textModulesData"),
        (lambda found: found["validTimeInterval"]["end"].update(date="soon"), "validTimeInterval"),
        (
            lambda found: found["validTimeInterval"].update(start={"date": "2020-01-01"}),
            "validTimeInterval",
        ),
    ],
)
def test_each_change_is_found(change: Change, field: str) -> None:
    """Whoever changes a field of ours is found out, and which field it was."""
    found = as_google_says_it()
    change(found)
    assert differing_fields(FULL, found) == [field]


def test_a_field_that_should_be_empty() -> None:
    """What the card does not have must not be there."""
    found = {**BARE, "accountName": "Somebody", "barcode": {"type": "qrCode", "value": "1"}}
    assert differing_fields({**BARE, "accountName": None, "barcode": None}, found) == [
        "accountName",
        "barcode",
    ]


def test_pages(bench: Bench) -> None:
    """A hundred at a time, trimmed to what is compared."""
    bench.set_up(103)
    first = read(bench)
    rest = read(bench, token=first.next_token)
    assert (len(first.passes), len(rest.passes), rest.next_token) == (100, 3, "")
    assert not {"classReference", "kind"} & first.passes[0].payload.keys()
    assert bench.sent == ["GET object", "GET object"]


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b'{"error": {}}',
        b'{"resources": {}}',
        b'{"resources": [1]}',
        b'{"resources": [{}]}',
        b'{"pagination": 1}',
    ],
)
def test_what_is_no_page(body: bytes) -> None:
    """A torn answer must not count as an empty class: all its cards would be missing."""
    with pytest.raises(UnavailableError):
        read_page(body, status=200)


def test_an_empty_class() -> None:
    """Google leaves out what is empty."""
    assert read_page(b"{}", status=200) == ([], "")
