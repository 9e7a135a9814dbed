"""Pushes over a real socket: every answer of APNs, and every way in which a connection can end."""

from __future__ import annotations

import ssl
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from loyalty_wallet.emulator.apple import ApnsEmulator, Authority
from loyalty_wallet.emulator.apple.push_faults import ANSWERS
from loyalty_wallet.exceptions import (
    MisconfiguredError,
    NetworkError,
    RateLimitedError,
    UnavailableError,
)
from loyalty_wallet.wallets.apple.apns import ApnsClient
from loyalty_wallet.wallets.apple.apns_answers import PushReply
from loyalty_wallet.wallets.apple.push_tokens import PushToken
from loyalty_wallet.wallets.base import PushAnswer

from .conftest import PASS_TYPE, TEAM
from .pushing import TOKEN, opened, push, push_many, run


class TestPing:
    def test_a_ping_pushes_nothing(self, apns: ApnsEmulator, options: dict[str, Any]) -> None:
        """A round trip over the connection; the pushes that follow use the same one."""

        async def work() -> None:
            async with opened(options) as client:
                await client.ping()
                assert apns.pushes == []
                await client.push(TOKEN)
                await client.ping()

        run(work())
        assert apns.connections_made == 1

    def test_a_connection_that_is_not_to_be_had(
        self, apns: ApnsEmulator, options: dict[str, Any]
    ) -> None:
        """Nobody waits for a pong from where nobody is."""
        apns.stop()

        async def work() -> None:
            async with opened(options) as client:
                await client.ping()

        with pytest.raises(NetworkError):
            run(work())


class TestRequest:
    def test_an_accepted_push(self, apns: ApnsEmulator, options: dict[str, Any]) -> None:
        """An empty dictionary to the device's path, with topic, priority and a day to live."""
        (reply,) = push(options)
        assert (reply.answer, reply.http_status) == (PushAnswer.ACCEPTED, 200)
        assert len(reply.apns_id) == 36
        (seen,) = apns.pushes
        assert (seen.push_token, seen.topic) == (TOKEN, PASS_TYPE)
        assert seen.headers[":path"] == f"/3/device/{TOKEN}"
        assert seen.headers["apns-priority"] == "10"
        assert "apns-push-type" not in seen.headers
        expires = datetime.fromtimestamp(int(seen.headers["apns-expiration"]), UTC)
        assert timedelta(hours=23) < expires - datetime.now(UTC) < timedelta(hours=25)

    def test_type_and_priority_can_be_set(
        self, apns: ApnsEmulator, options: dict[str, Any]
    ) -> None:
        """Some shops want background pushes, which wait for a good moment."""
        push(options, push_type="background", priority=5)
        headers = apns.pushes[0].headers
        assert (headers["apns-push-type"], headers["apns-priority"]) == ("background", "5")

    def test_one_connection_serves_all_pushes(
        self, apns: ApnsEmulator, options: dict[str, Any]
    ) -> None:
        """Apple takes many short connections for an attack."""
        replies = push_many(options, 300)
        assert Counter(reply.answer for reply in replies) == {PushAnswer.ACCEPTED: 300}  # type: ignore[union-attr]
        assert apns.connections_made == 1

    def test_a_strange_token_stays_in_its_place(
        self, apns: ApnsEmulator, options: dict[str, Any]
    ) -> None:
        """Whatever a device has sent us cannot lead to another path."""

        async def work() -> None:
            async with opened(options) as client:
                await client.push("../../x y/%00")

        run(work())
        assert apns.pushes[0].push_token == "../../x y/%00"

    @pytest.mark.parametrize(
        "url", ["http://api.push.apple.com", "https://", "https://host/3/device", "nonsense"]
    )
    def test_only_https_roots(self, options: dict[str, Any], url: str) -> None:
        """A certificate is shown over TLS or not at all."""
        with pytest.raises(ValueError, match="https root"):
            ApnsClient(url, **{key: value for key, value in options.items() if key != "url"})


class TestProviderToken:
    @pytest.fixture
    def with_token(self, apple: Authority, options: dict[str, Any], root: str) -> dict[str, Any]:
        token = PushToken(apple.push_key_pem, key_id=apple.push_key_id, team_identifier=TEAM)
        plain = ssl.create_default_context(cafile=root)
        plain.set_alpn_protocols(["h2"])
        return {**options, "token": token, "context": lambda: plain}

    def test_instead_of_a_certificate(self, apns: ApnsEmulator, with_token: dict[str, Any]) -> None:
        """A team's key pushes to all its pass types."""
        first, second = push(with_token, times=2)
        assert first.answer is second.answer is PushAnswer.ACCEPTED
        bearers = {seen.headers["authorization"] for seen in apns.pushes}
        assert len(bearers) == 1

    def test_neither_certificate_nor_token(self, with_token: dict[str, Any]) -> None:
        """APNs says so, and so do we."""
        with pytest.raises(MisconfiguredError, match="neither certificate nor push key"):
            push(with_token, token=None)

    def test_another_teams_key(self, apple: Authority, with_token: dict[str, Any]) -> None:
        """It is refused for all pushes."""
        token = PushToken(apple.push_key_pem, key_id="OTHERKEY01", team_identifier=TEAM)
        with pytest.raises(MisconfiguredError, match="push key"):
            push(with_token, token=token)

    def test_an_expired_token_is_renewed_once(
        self, apns: ApnsEmulator, with_token: dict[str, Any]
    ) -> None:
        """A token made long ago is replaced within the same attempt."""
        with_token["token"].get()
        with_token["token"]._made_at -= 30 * 60
        with_token["token"]._token = "stale"
        apns.fail(None, "expired_provider_token", times=1)
        (reply,) = push(with_token)
        assert reply.answer is PushAnswer.ACCEPTED
        assert len({seen.headers["authorization"] for seen in apns.pushes}) == 2

    def test_a_token_refused_as_expired_when_it_is_new(
        self, apns: ApnsEmulator, with_token: dict[str, Any]
    ) -> None:
        """Apple allows a new one every 20 minutes only: the clock must be wrong."""
        apns.fail(None, "expired_provider_token")
        with pytest.raises(MisconfiguredError, match="clock"):
            push(with_token)
        assert len(apns.pushes) == 1


GONE = ("unregistered", "expired_token")
BAD = ("bad_device_token", "device_token_not_for_topic")
CONFIGURATION = (
    "bad_topic",
    "missing_topic",
    "topic_disallowed",
    "bad_certificate",
    "bad_certificate_environment",
    "forbidden",
    "invalid_provider_token",
    "missing_provider_token",
    "unrelated_key_id",
    "bad_environment_key_id",
    "expired_provider_token",
)
OUR_FAULT = (
    "bad_priority",
    "bad_expiration_date",
    "invalid_push_type",
    "payload_empty",
    "duplicate_headers",
    "bad_path",
    "method_not_allowed",
    "payload_too_large",
)
LATER = ("internal_server_error", "service_unavailable", "shutdown")


class TestAnswers:
    """Apple's table, row by row."""

    def test_every_answer_is_in_a_row(self) -> None:
        """No reason of the emulator's is left out below."""
        rows = {*GONE, *BAD, *CONFIGURATION, *OUR_FAULT, *LATER}
        single = {"idle_timeout", "too_many_requests", "too_many_provider_token_updates"}
        assert rows | single == set(ANSWERS)

    @pytest.mark.parametrize("fault", GONE)
    def test_the_device_is_gone(
        self, apns: ApnsEmulator, options: dict[str, Any], fault: str
    ) -> None:
        """410 says since when, so that a token sent to us later is kept."""
        since = datetime(2026, 3, 1, 12, tzinfo=UTC)
        apns.fail(TOKEN, fault, since=since)
        (reply,) = push(options)
        assert (reply.answer, reply.gone_since) == (PushAnswer.GONE, since)

    @pytest.mark.parametrize("fault", BAD)
    def test_the_token_is_not_known(
        self, apns: ApnsEmulator, options: dict[str, Any], fault: str
    ) -> None:
        """One device's token says nothing of the others'."""
        apns.fail(TOKEN, fault)
        (reply,) = push(options)
        assert reply.answer is PushAnswer.BAD_TOKEN

    @pytest.mark.parametrize("fault", CONFIGURATION)
    def test_no_push_can_succeed(
        self, apns: ApnsEmulator, options: dict[str, Any], fault: str
    ) -> None:
        """The wallet is stopped with one sentence; nothing is retried."""
        apns.fail(None, fault)
        with pytest.raises(MisconfiguredError, match="APNs refuses all pushes") as caught:
            push(options)
        assert (caught.value.http_status, caught.value.reason) == ANSWERS[fault]
        assert len(apns.pushes) == 1

    @pytest.mark.parametrize("fault", [*OUR_FAULT, "too_many_requests"])
    def test_the_device_was_not_told(
        self, apns: ApnsEmulator, options: dict[str, Any], fault: str
    ) -> None:
        """Another attempt now is no help: a mistake of ours, or too many for this device."""
        apns.fail(TOKEN, fault)
        (reply,) = push(options)
        assert (reply.answer, reply.reason) == (PushAnswer.REFUSED, ANSWERS[fault][1])
        assert len(apns.pushes) == 1

    @pytest.mark.parametrize("fault", [*LATER, "no_body"])
    def test_apns_is_in_trouble(
        self, apns: ApnsEmulator, options: dict[str, Any], fault: str
    ) -> None:
        """5xx is for the ladder, with a body or without."""
        apns.fail(TOKEN, fault, times=1)
        with pytest.raises(UnavailableError) as caught:
            push(options)
        assert caught.value.is_retryable

    def test_too_many_new_tokens(self, apns: ApnsEmulator, options: dict[str, Any]) -> None:
        """The wallet waits: it is about the key, not about the device."""
        apns.fail(TOKEN, "too_many_provider_token_updates")
        with pytest.raises(RateLimitedError):
            push(options)

    def test_a_shutdown_is_answered_with_another_connection(
        self, apns: ApnsEmulator, options: dict[str, Any]
    ) -> None:
        """The server that shuts down is not asked again."""
        apns.fail(TOKEN, "shutdown", times=1)

        async def work() -> PushReply:
            async with opened(options) as client:
                with pytest.raises(UnavailableError):
                    await client.push(TOKEN)
                return await client.push(TOKEN)

        assert run(work()).answer is PushAnswer.ACCEPTED
        assert [seen.connection for seen in apns.pushes] == [1, 2]

    def test_an_idle_timeout_costs_no_attempt(
        self, apns: ApnsEmulator, options: dict[str, Any]
    ) -> None:
        """The connection was too quiet; the push goes over another one at once."""
        apns.fail(TOKEN, "idle_timeout", times=1)
        (reply,) = push(options)
        assert reply.answer is PushAnswer.ACCEPTED
        assert [seen.connection for seen in apns.pushes] == [1, 2]

    def test_the_topic_of_another_certificate(
        self, apns: ApnsEmulator, options: dict[str, Any]
    ) -> None:
        """The emulator objects as Apple does, without any fault ordered."""
        with pytest.raises(MisconfiguredError, match="may not push to this pass type"):
            push(options, topic="pass.com.other")
