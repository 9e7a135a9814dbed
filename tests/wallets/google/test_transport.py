"""What the network does to a request: tokens, time limits, broken answers, other hosts."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.emulator.google.faults import Action
from loyalty_wallet.exceptions import (
    DeliveryError,
    DeliveryTimeoutError,
    ForbiddenError,
    MisconfiguredError,
    NetworkError,
    RateLimitedError,
    UnauthorizedError,
    UnavailableError,
)
from loyalty_wallet.wallets.base import Outcome
from loyalty_wallet.wallets.google import client

from .conftest import Bench, together


def test_worthless_token_is_replaced_once(bench: Bench) -> None:
    """A 401 costs one refresh and the request again: no card fails for an expired token."""
    bench.set_up()
    bench.google.revoke_tokens()
    assert bench.deliver_one(bench.update("card-0", is_known=True)) is Outcome.UPDATED
    assert [entry.status for entry in bench.google.object_requests[-2:]] == [401, 200]
    assert len(bench.google.token_requests) == 2


def test_worthless_token_is_replaced_once_for_all(bench: Bench) -> None:
    """16 cards that meet the same 401 share one refresh."""
    bench.set_up(16)
    bench.google.revoke_tokens()
    updates = bench.updates(16, is_known=True)
    assert bench.deliver(*updates) == [Outcome.UPDATED] * 16
    assert len(bench.google.token_requests) == 2


def test_second_refusal_is_final(bench: Bench) -> None:
    """A fresh token that is refused as well means that the key is: two requests, no more."""
    bench.set_up()
    bench.google.fail(endpoint="object", status=401)
    with pytest.raises(UnauthorizedError) as failure:
        bench.deliver_one(bench.update("card-0", is_known=True))
    assert failure.value.http_status == 401
    assert bench.sent == ["PATCH object"] * 2
    assert len(bench.google.token_requests) == 2


def test_unknown_service_account_is_forbidden(bench: Bench) -> None:
    """An issuer that does not know the service account refuses at the first request."""
    bench.google.deny_issuer()
    with pytest.raises(ForbiddenError) as failure:
        bench.deliver_one(bench.update())
    assert (failure.value.http_status, failure.value.reason) == (403, "permissionDenied")
    assert bench.sent == ["PATCH class"]


def test_rate_limit_says_how_long(bench: Bench) -> None:
    """A 429 carries Google's own wish to whoever waits for it."""
    bench.google.fail(status=429, retry_after=7)
    with pytest.raises(RateLimitedError) as failure:
        bench.deliver_one(bench.update())
    assert failure.value.retry_after_seconds == 7


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("close_before", NetworkError),
        ("close_after", NetworkError),
        ("reset_body", NetworkError),
        ("truncated", UnavailableError),
        ("html", UnavailableError),
        ("status", UnavailableError),
        ("apply_then_status", UnavailableError),
    ],
)
def test_broken_answer_is_tried_again(
    bench: Bench, action: Action, expected: type[DeliveryError]
) -> None:
    """Whatever is left of an answer, it is a failure worth another attempt, never a success."""
    bench.set_up()
    update = bench.update("card-0", is_known=True)
    bench.google.misbehave(action, times=1)
    with pytest.raises(expected) as failure:
        bench.deliver_one(update)
    assert failure.value.is_retryable
    assert bench.sent == ["PATCH object"]
    assert bench.deliver_one(update) is Outcome.UPDATED


@pytest.mark.parametrize(
    ("action", "seconds"), [("hang", None), ("apply_then_hang", None), ("drip", 0.3)]
)
def test_attempt_ends_in_time(hasty: Bench, action: Action, seconds: float | None) -> None:
    """Half a second is half a second, though bytes keep coming."""
    hasty.set_up()
    hasty.google.misbehave(action, seconds=seconds)
    started = time.monotonic()
    with pytest.raises(DeliveryTimeoutError):
        hasty.deliver_one(hasty.update("card-0", is_known=True))
    assert 0.4 < time.monotonic() - started < 2


def test_answer_without_an_end_is_cut_off(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no success, fills no memory, and is tried again."""
    bench.set_up()
    update = bench.update("card-0", is_known=True)
    monkeypatch.setattr(client, "MOST_ANSWER_BYTES", 20)
    with pytest.raises(UnavailableError, match="no end") as failure:
        bench.deliver_one(update)
    assert failure.value.is_retryable
    monkeypatch.undo()
    assert bench.deliver_one(update) is Outcome.UPDATED


def test_requests_of_an_attempt_share_its_time(hasty: Bench) -> None:
    """A slow PATCH leaves less for the insert: the limit is for the whole attempt."""
    hasty.set_up()
    hasty.google.set_latency(0.3)
    started = time.monotonic()
    with pytest.raises(DeliveryTimeoutError):
        hasty.deliver_one(hasty.update("new", is_known=True))
    assert hasty.sent == ["PATCH object", "POST object"]
    assert time.monotonic() - started < 2


def test_slow_answer_within_the_limit_counts(hasty: Bench) -> None:
    """An answer that comes just in time is an answer."""
    hasty.set_up()
    hasty.google.set_latency(0.25)
    assert hasty.deliver_one(hasty.update("card-0", is_known=True)) is Outcome.UPDATED


def test_slot_of_a_timeout_is_free_again(hasty: Bench) -> None:
    """A request that was given up holds no connection: the next one goes through at once."""
    hasty.set_up(2)
    hasty.google.misbehave("hang", times=1)

    async def twice() -> list[Outcome | BaseException]:
        async with hasty.wallet.connect() as session:
            first = await together(session, hasty.update("card-0", is_known=True))
            return first + await together(session, hasty.update("card-1", is_known=True))

    failed, delivered = hasty.loop.run(twice())
    assert isinstance(failed, DeliveryTimeoutError)
    assert delivered is Outcome.UPDATED


def test_unreachable_google_is_a_network_failure(bench: Bench) -> None:
    """A refused connection is `network`, and worth another attempt."""
    bench.set_up()
    bench.google.stop()
    with pytest.raises(NetworkError) as failure:
        bench.deliver_one(bench.update("card-0", is_known=True))
    assert failure.value.is_retryable


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(bench: Bench, status: int) -> None:
    """Whatever Google's address answers, the token goes nowhere else."""
    bench.set_up()
    with GoogleEmulator(requests_per_second=None) as elsewhere:
        bench.google.misbehave("redirect", status=status, location=f"{elsewhere.url}/walletobjects")
        with pytest.raises(MisconfiguredError):
            bench.deliver_one(bench.update("card-0", is_known=True))
        assert elsewhere.requests == []
    assert bench.sent == ["PATCH object"]


def test_answers_in_googles_dialect_are_fine(bench: Bench) -> None:
    """Google spells enums differently and adds fields; the next delivery minds neither."""
    bench.set_up()
    update = bench.update("card-0", is_known=True)
    bench.google.edit_object(update.remote_id, state="active", hasUsers=True)
    bench.google.edit_class(update.program.remote_id, reviewStatus="approved")
    assert bench.deliver_one(update) is Outcome.UPDATED


def test_nothing_else_is_called(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens and passes go to the configured hosts; no library calls home on the way."""
    called: list[Any] = []
    connect = socket.socket.connect

    def recording(self: socket.socket, address: Any) -> None:
        called.append(address[0] if isinstance(address, tuple) else address)
        connect(self, address)

    resolve = socket.getaddrinfo

    def resolving(host: Any, *args: Any, **kwargs: Any) -> Any:
        called.append(host)
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", recording)
    monkeypatch.setattr(socket, "getaddrinfo", resolving)
    bench.deliver(*bench.updates(4))
    bench.google.revoke_tokens()
    bench.deliver(*bench.updates(4, is_known=True))
    time.sleep(0.1)
    assert set(called) == {"127.0.0.1"}


def test_each_run_has_its_own_event_loop(bench: Bench) -> None:
    """A wallet outlives the loop of a run; its token is still good in the next one."""
    bench.set_up()
    bench.loop.close()
    bench.loop = type(bench.loop)()
    with bench.loop:
        assert bench.deliver_one(bench.update("card-0", is_known=True)) is Outcome.UPDATED
    assert len(bench.google.token_requests) == 1
