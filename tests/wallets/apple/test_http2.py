"""How a connection to APNs can be narrow, break, end or be cut off, over a real socket."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from typing import Any

import pytest
from hpack import Decoder, NeverIndexedHeaderTuple

from loyalty_wallet.emulator.apple import ApnsEmulator, Authority
from loyalty_wallet.exceptions import (
    DeliveryTimeoutError,
    MisconfiguredError,
    NetworkError,
)
from loyalty_wallet.wallets.apple import apns as module
from loyalty_wallet.wallets.apple import http2
from loyalty_wallet.wallets.apple.apns_answers import PushReply
from loyalty_wallet.wallets.apple.certificates import Certificates
from loyalty_wallet.wallets.apple.frames import RepeatingEncoder
from loyalty_wallet.wallets.base import PushAnswer

from .conftest import PASS_TYPE, TEAM
from .pushing import TOKEN, opened, push, push_many, run


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


class TestHeaderBlocks:
    def test_what_repeats_is_short_and_read_as_it_was_meant(self) -> None:
        """Whatever comes between: new headers, other tables, values that are never indexed."""
        encoder, decoder = RepeatingEncoder(), Decoder()
        decoder.max_allowed_table_size = 4096
        topic, secret = (b"apns-topic", b"pass.com.example"), b"/3/device/" + b"9f" * 32
        for turn in range(20):
            headers: list[tuple[bytes, bytes]] = [
                (b":method", b"POST"),
                NeverIndexedHeaderTuple(b":path", secret),
                topic,
                *([(b"apns-priority", b"%d" % turn)] if turn % 5 == 0 else []),
            ]
            if turn in (7, 12):
                encoder.header_table_size = 40 if turn == 7 else 4096
            block = encoder.encode(headers)
            assert list(decoder.decode(block, raw=True)) == headers
            assert secret in block
            if turn in (4, 11, 19):
                repeats = len(block) - len(secret)
                assert (repeats < 10) is (turn != 11), "a table of 40 bytes holds no topic"
