"""Pushes over a real socket: every answer of APNs, and every way in which a connection can end."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from loyalty_wallet.emulator.apple import ApnsEmulator, Authority
from loyalty_wallet.emulator.apple.push_faults import ANSWERS
from loyalty_wallet.exceptions import (
    DeliveryTimeoutError,
    MisconfiguredError,
    NetworkError,
    RateLimitedError,
    UnavailableError,
)
from loyalty_wallet.wallets.apple import apns as module
from loyalty_wallet.wallets.apple import http2
from loyalty_wallet.wallets.apple.apns import ApnsClient
from loyalty_wallet.wallets.apple.apns_answers import PushReply
from loyalty_wallet.wallets.apple.certificates import Certificates
from loyalty_wallet.wallets.apple.push_tokens import PushToken
from loyalty_wallet.wallets.base import PushAnswer

from .conftest import PASS_TYPE, TEAM

TOKEN = "9f3c" * 16

Use = Callable[[ApnsClient], Awaitable[Any]]


@pytest.fixture
def apns(apple: Authority) -> Iterator[ApnsEmulator]:
    with ApnsEmulator(apple) as emulator:
        yield emulator


@pytest.fixture
def root(apple: Authority, tmp_path: Path) -> str:
    path = tmp_path / "root.pem"
    path.write_bytes(apple.root_pem)
    return str(path)


@pytest.fixture
def context(apple: Authority, root: str) -> Callable[[], ssl.SSLContext]:
    identity = Certificates(
        certificate=apple.certificate_pem,
        private_key=apple.private_key_pem,
        wwdr_certificate=apple.wwdr_pem,
        pass_type_identifier=PASS_TYPE,
        team_identifier=TEAM,
    ).load()
    return lambda: identity.client_context(root)


@pytest.fixture
def options(apns: ApnsEmulator, context: Callable[[], ssl.SSLContext]) -> dict[str, Any]:
    return {"url": apns.url, "topic": PASS_TYPE, "context": context, "timeout_seconds": 5}


@asynccontextmanager
async def opened(options: dict[str, Any], **changes: Any) -> AsyncIterator[ApnsClient]:
    options = {**options, **changes}
    client = ApnsClient(options.pop("url"), **options)
    try:
        yield client
    finally:
        await client.aclose()


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work, debug=False)


def push(options: dict[str, Any], *, times: int = 1, **changes: Any) -> list[PushReply]:
    """Push so many times, one after the other, over one client."""

    async def work() -> list[PushReply]:
        async with opened(options, **changes) as client:
            return [await client.push(TOKEN) for _ in range(times)]

    replies: list[PushReply] = run(work())
    return replies


def push_many(
    options: dict[str, Any], count: int, *, at_once: int = 64, **changes: Any
) -> list[PushReply | BaseException]:
    """Push to so many devices, so many at a time."""

    async def work() -> list[PushReply | BaseException]:
        gate = asyncio.Semaphore(at_once)

        async def one(client: ApnsClient, number: int) -> PushReply:
            async with gate:
                return await client.push(f"{number:064x}")

        async with opened(options, **changes) as client:
            pushes = [one(client, number) for number in range(count)]
            return await asyncio.gather(*pushes, return_exceptions=True)

    replies: list[PushReply | BaseException] = run(work())
    return replies


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


class TestConnection:
    @pytest.mark.parametrize("limit", [1, 100, 1000])
    def test_the_peers_stream_limit_is_kept(
        self, apple: Authority, options: dict[str, Any], limit: int
    ) -> None:
        """Whatever it is, nothing is refused and nothing lost."""
        with ApnsEmulator(apple, max_concurrent_streams=limit) as narrow:
            replies = push_many(options, 300, url=narrow.url)
            assert all(isinstance(reply, PushReply) for reply in replies)
            assert len({seen.push_token for seen in narrow.pushes}) == len(narrow.pushes) == 300

    def test_the_limit_may_change_meanwhile(
        self, apns: ApnsEmulator, options: dict[str, Any]
    ) -> None:
        """Apple begins with one stream and allows more later."""
        apns.limit_streams(1)
        apns.latency_seconds = 0.01

        async def work() -> list[PushReply]:
            async with opened(options) as client:
                pushes = [asyncio.create_task(client.push(f"{n:064x}")) for n in range(60)]
                await pushes[0]
                apns.limit_streams(20)
                await pushes[20]
                apns.limit_streams(2)
                return await asyncio.gather(*pushes)

        assert len(run(work())) == len(apns.pushes) == 60

    def test_goaway_loses_nothing_and_repeats_nothing(
        self, apple: Authority, options: dict[str, Any]
    ) -> None:
        """What the peer took is answered, the rest goes over the next connection."""
        with ApnsEmulator(apple, goaway_every=50, latency_seconds=0.002) as restless:
            replies = push_many(options, 500, url=restless.url)
            assert Counter(type(reply) for reply in replies) == {PushReply: 500}
            assert len({seen.push_token for seen in restless.pushes}) == 500
            assert len(restless.pushes) == 500
            assert restless.connections_made >= 10

    @pytest.mark.parametrize("fault", ["goaway", "refuse_stream"])
    def test_a_push_that_was_not_looked_at_is_sent_again(
        self, apns: ApnsEmulator, options: dict[str, Any], fault: str
    ) -> None:
        """Within the attempt: the peer says that it has done nothing."""
        apns.fail(TOKEN, fault, times=1)
        (reply,) = push(options)
        assert reply.answer is PushAnswer.ACCEPTED
        assert len(apns.pushes) == 1

    def test_a_peer_that_only_says_goodbye(
        self, apns: ApnsEmulator, options: dict[str, Any]
    ) -> None:
        """It is left after a few connections."""
        apns.fail(None, "goaway")
        with pytest.raises(NetworkError, match="one connection after another"):
            push(options)
        assert apns.connections_made == 1 + module.MOST_RESENDS

    @pytest.mark.parametrize("fault", ["reset_stream", "reset_connection"])
    def test_a_reset_is_for_the_ladder(
        self, apns: ApnsEmulator, options: dict[str, Any], fault: str
    ) -> None:
        """It may or may not have been taken; telling a phone twice does no harm."""
        apns.fail(TOKEN, fault, times=1)

        async def work() -> PushReply:
            async with opened(options) as client:
                with pytest.raises(NetworkError):
                    await client.push(TOKEN)
                return await client.push(TOKEN)

        assert run(work()).answer is PushAnswer.ACCEPTED

    def test_silence_ends_with_the_timeout(
        self, apns: ApnsEmulator, options: dict[str, Any]
    ) -> None:
        """One device's silence does not hold up the others, and the next one gets a new line."""
        apns.fail(TOKEN, "hang", times=1)

        async def work() -> tuple[object, ...]:
            async with opened(options, timeout_seconds=0.5) as client:
                silent = asyncio.create_task(client.push(TOKEN))
                others = [await client.push("aa" * 32) for _ in range(3)]
                with pytest.raises(DeliveryTimeoutError):
                    await silent
                return (*others, await client.push(TOKEN))

        replies = run(work())
        assert all(reply.answer is PushAnswer.ACCEPTED for reply in replies)
        assert apns.pushes[-1].connection == 2

    def test_a_late_answer_is_an_answer(self, apns: ApnsEmulator, options: dict[str, Any]) -> None:
        """As long as it comes within the time."""
        apns.fail(TOKEN, "slow", seconds=0.2)
        (reply,) = push(options)
        assert reply.answer is PushAnswer.ACCEPTED

    def test_waiting_for_a_stream_counts(self, apple: Authority, options: dict[str, Any]) -> None:
        """With one stream, taken by a push that is never answered, all others end in time."""
        with ApnsEmulator(apple, max_concurrent_streams=1) as narrow:
            narrow.fail(None, "hang")
            replies = push_many(options, 5, url=narrow.url, timeout_seconds=0.3)
            assert {type(reply) for reply in replies} == {DeliveryTimeoutError}

    def test_a_cancelled_push_harms_no_other(
        self, apns: ApnsEmulator, options: dict[str, Any]
    ) -> None:
        """Ctrl-C, or a till that gave up: its stream is reset, its place is free."""
        apns.limit_streams(2)
        apns.fail("dead", "hang")

        async def work() -> list[PushReply]:
            async with opened(options) as client:
                await client.push(TOKEN)
                dead = [asyncio.create_task(client.push("dead")) for _ in range(2)]
                waiting = asyncio.create_task(client.push("aa"))
                cancelled = asyncio.create_task(client.push("bb"))
                await asyncio.sleep(0.1)
                for task in (*dead, cancelled):
                    task.cancel()
                return [await waiting, await client.push(TOKEN)]

        assert [reply.answer for reply in run(work())] == [PushAnswer.ACCEPTED] * 2
        assert apns.connections_made == 1
        assert "bb" not in {seen.push_token for seen in apns.pushes}

    def test_a_connection_that_died_while_idle_costs_no_attempt(
        self, apns: ApnsEmulator, options: dict[str, Any]
    ) -> None:
        """The peer closed it between two runs."""

        async def work() -> PushReply:
            async with opened(options) as client:
                await client.push(TOKEN)
                apns.break_connections()
                while client._current is not None and client._current.is_usable:
                    await asyncio.sleep(0.01)
                return await client.push(TOKEN)

        assert run(work()).answer is PushAnswer.ACCEPTED
        assert apns.connections_made == 2

    def test_a_connection_that_dies_under_the_first_push_after_a_pause(
        self, apns: ApnsEmulator, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The news of its death crosses the push on its way: sent again at once."""
        monkeypatch.setattr(http2, "STALE_SECONDS", -1)
        apns.fail(TOKEN, "reset_connection", times=1)
        (reply,) = push(options)
        assert reply.answer is PushAnswer.ACCEPTED

    def test_a_connection_that_was_quiet_for_long_is_replaced(
        self, apns: ApnsEmulator, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What lies between may have dropped it without a word."""
        monkeypatch.setattr(module, "MOST_IDLE_SECONDS", -1)
        push(options, times=2)
        assert [seen.connection for seen in apns.pushes] == [1, 2]

    def test_nobody_there(self, apns: ApnsEmulator, options: dict[str, Any]) -> None:
        """The port is closed."""
        apns.stop()
        with pytest.raises(NetworkError, match="Cannot connect"):
            push(options)

    def test_back_again(self, apns: ApnsEmulator, options: dict[str, Any]) -> None:
        """After an outage the same client goes on."""

        async def work() -> PushReply:
            async with opened(options) as client:
                await client.push(TOKEN)
                await asyncio.to_thread(apns.stop)
                with pytest.raises(NetworkError):
                    await client.push(TOKEN)
                await asyncio.to_thread(apns.start)
                return await client.push(TOKEN)

        assert run(work()).answer is PushAnswer.ACCEPTED

    def test_a_stranger_in_apns_place(self, options: dict[str, Any]) -> None:
        """A server whose certificate our authorities have not signed gets no push."""
        stranger = Authority(pass_type_identifier=PASS_TYPE, team_identifier=TEAM)
        with ApnsEmulator(stranger) as other:
            with pytest.raises(NetworkError, match="TLS"):
                push(options, url=other.url)
            assert other.pushes == []

    def test_our_certificate_is_from_a_stranger(
        self, apns: ApnsEmulator, options: dict[str, Any], root: str
    ) -> None:
        """TLS fails; it is for the ladder, since networks fail likewise."""
        stranger = Authority(pass_type_identifier=PASS_TYPE, team_identifier=TEAM)
        identity = Certificates(
            certificate=stranger.certificate_pem,
            private_key=stranger.private_key_pem,
            wwdr_certificate=stranger.wwdr_pem,
            pass_type_identifier=PASS_TYPE,
            team_identifier=TEAM,
        ).load()
        with pytest.raises(NetworkError):
            push(options, context=lambda: identity.client_context(root))
        assert apns.pushes == []

    def test_a_peer_without_http2(self, options: dict[str, Any], apple: Authority) -> None:
        """A proxy in the way, for example."""
        server_context = apple.server_context()
        server_context.set_alpn_protocols(["http/1.1"])

        async def work() -> None:
            server = await asyncio.start_server(
                lambda reader, writer: None, "127.0.0.1", 0, ssl=server_context
            )
            async with (
                server,
                opened(
                    options, url=f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
                ) as client,
            ):
                await client.push(TOKEN)

        with pytest.raises(NetworkError, match=r"HTTP/2|TLS"):
            run(work())

    @pytest.mark.parametrize("garbage", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00" * 100])
    def test_a_peer_that_talks_nonsense(
        self, options: dict[str, Any], apple: Authority, garbage: bytes
    ) -> None:
        """It is heard out and left."""

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(garbage)
            await reader.read()
            writer.close()

        async def work() -> None:
            server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=apple.server_context())
            async with (
                server,
                opened(
                    options,
                    url=f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}",
                    timeout_seconds=1,
                ) as client,
            ):
                await client.push(TOKEN)

        with pytest.raises((NetworkError, DeliveryTimeoutError)):
            run(work())

    def test_a_context_that_cannot_be_made(self, options: dict[str, Any]) -> None:
        """What is wrong with the certificate is said in its own words, to everybody who waits."""

        def broken() -> ssl.SSLContext:
            raise MisconfiguredError("The Pass Type ID certificate expired on 2026-01-01.")

        replies = push_many(options, 3, context=broken)
        assert {type(reply) for reply in replies} == {MisconfiguredError}
