"""The closed list of failures: codes, remedies, and messages without secrets."""

from __future__ import annotations

import pytest

from loyalty_wallet.exceptions import (
    DeliveryError,
    LeaseLostError,
    LoyaltyWalletError,
    RejectedError,
    RunActiveError,
    SelectionError,
    failure_classes,
)

RETRIED = {"unavailable", "network", "timeout", "rate_limited", "deferred"}
STOPS_WALLET = {"unauthorized", "forbidden", "misconfigured"}
FAILS_THE_CARD = {
    "rejected",
    "class_missing",
    "not_found",
    "invalid_card",
    "cards_gone",
    "notification_quota",
    "push_refused",
    "bug",
}


def _tree(error: type[DeliveryError]) -> list[type[DeliveryError]]:
    below = [subclass for child in error.__subclasses__() for subclass in _tree(child)]
    return [error, *below]


def test_list_is_closed() -> None:
    """Every code of the list has exactly one class, and there is no other code."""
    codes = [failure.code for failure in DeliveryError.__subclasses__()]
    assert len(codes) == len(set(codes))
    assert set(codes) == RETRIED | STOPS_WALLET | FAILS_THE_CARD
    assert failure_classes() == {
        failure.code: failure for failure in DeliveryError.__subclasses__()
    }


def test_narrower_errors_keep_the_code() -> None:
    """An error for internal use is recorded under the code of the failure that it is."""
    known = failure_classes()
    for error in _tree(DeliveryError)[1:]:
        assert issubclass(error, known[error.code])


@pytest.mark.parametrize("code", sorted(failure_classes()))
def test_class_says_what_to_do(code: str) -> None:
    """Each failure says whether it is retried, whether it stops the wallet, why, and what mends it."""
    failure = failure_classes()[code]
    assert failure.is_retryable is (code in RETRIED)
    assert failure.stops_wallet is (code in STOPS_WALLET)
    assert failure.cause.endswith(".")
    assert failure.remedy.endswith(".")
    assert failure.__doc__


def test_remedies_differ() -> None:
    """No two failures give the same advice."""
    remedies = [failure.remedy for failure in failure_classes().values()]
    assert len(set(remedies)) == len(remedies)


@pytest.mark.parametrize("failure", failure_classes().values(), ids=lambda failure: failure.code)
def test_no_way_of_reading_an_error_shows_a_secret(failure: type[DeliveryError]) -> None:
    """Message, reason, str, repr and args are redacted when the error is made."""
    secret = "ya29.s3cr3tV4lue0123456789"
    error = failure(f"token {secret} of ada@shop.example", reason=f"for {secret}", http_status=401)
    texts = (error.message, error.reason, str(error), repr(error), repr(error.args))
    assert not [text for text in texts if "s3cr3t" in text or "ada" in text]
    assert error.http_status == 401


def test_message_and_reason_are_cut() -> None:
    """What is stored fits its column, however much the provider has to say."""
    error = RejectedError("m " * 5000, reason="r" * 5000)
    assert len(error.message) == 500
    assert len(error.reason) == 100


def test_details_default_to_none() -> None:
    """An error without an answer of the provider has no status, reason or time to wait."""
    error = RejectedError("No.")
    assert (error.http_status, error.reason, error.retry_after_seconds) == (None, "", None)


@pytest.mark.parametrize("error", [LeaseLostError, RunActiveError, SelectionError])
def test_what_is_no_failure_of_a_card(error: type[LoyaltyWalletError]) -> None:
    """Lost leases, busy runs and senseless selections are ours, but no card's failure."""
    assert issubclass(error, LoyaltyWalletError)
    assert not issubclass(error, DeliveryError)


def test_run_that_is_going_is_named() -> None:
    """Whoever is turned away learns which run is in the way."""
    assert RunActiveError("Run 5 is going.", run_id=5).run_id == 5
    assert RunActiveError("Another run is going.").run_id is None


def test_selection_error_is_a_value_error() -> None:
    """Callers who know nothing of us catch a senseless selection as what it is."""
    assert issubclass(SelectionError, ValueError)
