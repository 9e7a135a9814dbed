"""A pass that fails again and again is left alone, and the log says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from loyalty_wallet.exceptions import RejectedError, UnavailableError
from loyalty_wallet.models import LoyaltyCard, WalletPass
from loyalty_wallet.sync.ledger import Ledger
from loyalty_wallet.sync.pump.jobs import JobOutcome
from tests.shopfront import Configure, pass_of
from tests.sync.recording import claim_all, claim_one, record

MakeCards = Callable[[int], list[LoyaltyCard]]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("google")]


@pytest.mark.parametrize(
    ("row", "is_set_aside"),
    [
        ({"failing_runs": 0}, False),
        ({"failing_runs": 1}, True),
        ({"failing_runs": 5}, True),
        ({"failing_runs": 1, "state": WalletPass.State.ERASING}, False),
    ],
)
def test_what_is_set_aside_is_said(
    make_cards: MakeCards,
    configure: Configure,
    caplog: pytest.LogCaptureFixture,
    row: dict[str, Any],
    is_set_aside: bool,
) -> None:
    """At the last run that it was given; an erasure is never given up."""
    configure(SET_ASIDE_AFTER=2)
    (card,) = make_cards(1)
    WalletPass.objects.update(**row)
    _, job = claim_one()
    job.finish(JobOutcome.FAILED, RejectedError("400"))
    record(job)

    assert (pass_of(card).state == WalletPass.State.SET_ASIDE) == is_set_aside
    errors = [entry.message for entry in caplog.records if entry.levelname == "ERROR"]
    said = f"1 passes failed in 2 runs in a row and are set aside: cards {card.pk}"
    assert errors == ([said] if is_set_aside else [])


def test_a_fault_of_the_provider_sets_nothing_aside(
    make_cards: MakeCards, configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    """However often it comes: the card is not to blame."""
    configure(SET_ASIDE_AFTER=1)
    (card,) = make_cards(1)
    _, job = claim_one()
    job.finish(JobOutcome.FAILED, UnavailableError("503"))
    record(job)
    assert pass_of(card).state == WalletPass.State.ACTIVE
    assert "set aside" not in caplog.text


def test_twenty_of_many_that_are_set_aside_are_named(
    make_cards: MakeCards, configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    """A bad template is one line in the log, not ten thousand."""
    configure(SET_ASIDE_AFTER=1)
    make_cards(21)
    jobs = claim_all()
    for job in jobs:
        job.finish(JobOutcome.FAILED, RejectedError("400"))
    Ledger(None, worker="test").record("google", jobs)
    (message,) = [entry.message for entry in caplog.records if entry.levelname == "ERROR"]
    named = ", ".join(job.row.card_key for job in jobs[:20])
    assert message == f"21 passes failed in 1 runs in a row and are set aside: cards {named}"
