"""Service-account keys and access tokens: wherever a key comes from, one refresh for all."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.emulator.google.keys import CLIENT_EMAIL, service_account
from loyalty_wallet.exceptions import (
    DeliveryTimeoutError,
    MisconfiguredError,
    NetworkError,
    UnauthorizedError,
    UnavailableError,
)
from loyalty_wallet.wallets.google.credentials import ServiceAccount, Token, TokenKeeper

# Nothing listens there.
ACCOUNT: dict[str, Any] = {**service_account("http://127.0.0.1:9/token")}
SECRET = "s3cr3tS3cr3tS3cr3t"
BAD_PEM = f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n"


@pytest.fixture
def account(google: GoogleEmulator) -> ServiceAccount:
    return ServiceAccount(google.wallet_options["credentials"], timeout_seconds=5)


def keeper(account: ServiceAccount, *, timeout_seconds: float = 5) -> TokenKeeper:
    return TokenKeeper(account, timeout_seconds=timeout_seconds)


@pytest.mark.parametrize(
    "source",
    [
        lambda path: str(path),
        lambda path: path,
        lambda path: path.read_text(),
        lambda path: f"\n  {path.read_text()}\n",
        lambda path: f"\ufeff{path.read_text()}",
        lambda path: path.read_bytes(),
        lambda path: json.loads(path.read_text()),
        lambda path: lambda: path,
        lambda path: lambda: path.read_text(),
        lambda path: lambda: json.loads(path.read_text()),
    ],
    ids=[
        "path",
        "Path",
        "text",
        "indented",
        "marked",
        "bytes",
        "dict",
        "to path",
        "to text",
        "to dict",
    ],
)
def test_key_may_come_from_anywhere(tmp_path: Path, source: Callable[[Path], Any]) -> None:
    """A path, the text itself, its content, or a callable that returns one of them."""
    path = tmp_path / "key.json"
    path.write_text(json.dumps(ACCOUNT))
    account = ServiceAccount(source(path), timeout_seconds=5)
    assert account.load().service_account_email == CLIENT_EMAIL


def test_key_is_read_when_needed_and_once(tmp_path: Path) -> None:
    """A missing file is no error until somebody needs the key; the file is then read once."""
    path = tmp_path / "key.json"
    account = ServiceAccount(path, timeout_seconds=5)
    path.write_text(json.dumps(ACCOUNT))
    credentials = account.load()
    path.unlink()
    assert account.load() is credentials


def test_key_that_was_replaced_is_taken_up(google: GoogleEmulator, tmp_path: Path) -> None:
    """Nobody has to restart the workers; while the file is half written, the last key serves on."""
    path = tmp_path / "key.json"
    path.write_text(json.dumps({**google.service_account, "client_email": "old@example.com"}))
    account = ServiceAccount(path, timeout_seconds=5)
    with pytest.raises(UnauthorizedError):
        account.refresh(refused=None)
    path.write_text(json.dumps(google.service_account))
    token = account.refresh(refused=None)
    path.write_text('{"client_email"')
    assert account.refresh(refused=token).value != token.value
    assert account.load().service_account_email == CLIENT_EMAIL


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in ACCOUNT.items() if key != name}


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("no-such-file.json", "is not readable"),
        (Path("/"), "is not readable"),
        ("", "is not readable"),
        ("{", "is not JSON"),
        ("{]", "is not JSON"),
        (without("client_email"), "lacks client_email"),
        (without("private_key"), "lacks private_key"),
        (without("token_uri"), "lacks token_uri"),
        ({}, "lacks client_email, private_key, token_uri"),
        ({**ACCOUNT, "private_key": ""}, "lacks private_key"),
        ({**ACCOUNT, "private_key": BAD_PEM}, "is not a PEM key"),
        ({**ACCOUNT, "private_key": SECRET}, "is not a PEM key"),
        ({**ACCOUNT, "token_uri": "http://oauth2.googleapis.com/token"}, "must be https"),
        ({**ACCOUNT, "token_uri": "http://127.0.0.1.example/token"}, "must be https"),
        ({**ACCOUNT, "token_uri": "oauth2.googleapis.com/token"}, "must be https"),
        ({**ACCOUNT, "token_uri": "ftp://127.0.0.1/token"}, "must be https"),
        ({**ACCOUNT, "token_uri": "http://[bad/"}, "must be https"),
        (SECRET * 100, "is not readable"),
        (f"{SECRET}\n{SECRET}", "is not readable"),
        ("[" * 100_000, "is not readable"),
        ('{"a":' * 100_000, "is not JSON"),
    ],
)
def test_unusable_key_says_why(key: Any, words: str) -> None:
    """What is wrong is named; nothing of the key is."""
    with pytest.raises(MisconfiguredError) as refusal:
        ServiceAccount(key, timeout_seconds=5).load()
    assert words in refusal.value.message
    assert SECRET not in refusal.value.message
    assert "BEGIN" not in refusal.value.message


def test_key_callable_that_fails_is_a_misconfiguration() -> None:
    """Only the kind of its exception is told: its text may be a secret."""

    def give() -> str:
        raise KeyError(SECRET)

    with pytest.raises(MisconfiguredError, match="KeyError") as refusal:
        ServiceAccount(give, timeout_seconds=5).load()
    assert SECRET not in refusal.value.message


def test_file_that_is_no_text(tmp_path: Path) -> None:
    """A binary key file (.p12) is not readable, rather than a bug."""
    path = tmp_path / "key.p12"
    path.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(MisconfiguredError, match="is not readable"):
        ServiceAccount(path, timeout_seconds=5).load()


def test_nothing_prints_a_secret(account: ServiceAccount) -> None:
    """Neither the account nor its token shows what it holds."""
    token = account.refresh(refused=None)
    assert token.value not in f"{token!r} {token} {account!r}"
    assert "PRIVATE KEY" not in repr(account)


def test_cold_start_of_many_tasks_fetches_one_token(
    google: GoogleEmulator, account: ServiceAccount
) -> None:
    """16 tasks that need the first token at once wait for one request."""

    async def start() -> set[str]:
        tokens = keeper(account)
        return {token.value for token in await asyncio.gather(*(tokens.get() for _ in range(16)))}

    assert len(asyncio.run(start())) == 1
    assert len(google.token_requests) == 1


def test_cold_start_of_many_threads_fetches_one_token(
    google: GoogleEmulator, account: ServiceAccount
) -> None:
    """So do 8 threads with an event loop each."""
    barrier = threading.Barrier(8)
    found: list[Token] = []

    def start() -> None:
        barrier.wait()
        found.append(asyncio.run(keeper(account).get()))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({token.value for token in found}) == 1
    assert len(google.token_requests) == 1


def test_good_token_is_kept(google: GoogleEmulator, account: ServiceAccount) -> None:
    """An hour's token is asked for once."""

    async def ask() -> None:
        tokens = keeper(account)
        for _ in range(5):
            await tokens.get()

    asyncio.run(ask())
    asyncio.run(ask())
    assert len(google.token_requests) == 1


def test_token_near_its_end_serves_while_the_next_one_comes() -> None:
    """A slow token endpoint delays nobody who still has a token that counts."""

    async def ask(account: ServiceAccount) -> tuple[Token, list[Token], float, Token]:
        tokens = keeper(account)
        first = await tokens.get()
        google.misbehave("latency", endpoint="token", seconds=0.4)
        started = time.monotonic()
        meanwhile = [await tokens.get() for _ in range(10)]
        seconds = time.monotonic() - started
        await asyncio.sleep(0.8)
        return first, meanwhile, seconds, await tokens.get()

    with GoogleEmulator(requests_per_second=None, token_lifetime_seconds=120) as google:
        account = ServiceAccount(google.wallet_options["credentials"], timeout_seconds=5)
        first, meanwhile, seconds, after = asyncio.run(ask(account))
        # The last `get` has ordered the third: this emulator's tokens are always near their end.
        assert 2 <= len(google.token_requests) <= 3
    assert meanwhile == [first] * 10
    assert seconds < 0.3
    assert after.value != first.value


def test_token_past_its_end_is_waited_for() -> None:
    """A token with less than the margin left is handed to nobody."""
    with GoogleEmulator(requests_per_second=None, token_lifetime_seconds=5) as google:
        account = ServiceAccount(google.wallet_options["credentials"], timeout_seconds=5)

        async def ask() -> list[str]:
            tokens = keeper(account)
            return [(await tokens.get()).value for _ in range(3)]

        assert len(set(asyncio.run(ask()))) == 3


def test_refused_token_is_replaced_once_for_all(
    google: GoogleEmulator, account: ServiceAccount
) -> None:
    """Everybody who was refused the same token gets the same next one."""

    async def ask() -> set[str]:
        tokens = keeper(account)
        refused = await tokens.get()
        news = await asyncio.gather(*(tokens.get(refused=refused) for _ in range(16)))
        late = await tokens.get(refused=refused)
        assert refused.value != late.value
        return {token.value for token in [*news, late]}

    assert len(asyncio.run(ask())) == 1
    assert len(google.token_requests) == 2


def failure_of(account: ServiceAccount, *, timeout_seconds: float = 5) -> BaseException:
    """Return what 16 tasks meet that ask for a token: the same, all of them."""

    async def ask() -> list[Token | BaseException]:
        tokens = keeper(account, timeout_seconds=timeout_seconds)
        return await asyncio.gather(*(tokens.get() for _ in range(16)), return_exceptions=True)

    found = asyncio.run(ask())
    assert len({type(failure) for failure in found}) == 1
    assert isinstance(found[0], BaseException)
    return found[0]


def test_revoked_key_is_unauthorized_at_once(
    google: GoogleEmulator, account: ServiceAccount
) -> None:
    """`invalid_grant` is final: one request for all who wait, and a message without an assertion."""
    google.revoke_key()
    failure = failure_of(account)
    assert isinstance(failure, UnauthorizedError)
    assert failure.stops_wallet
    assert "invalid_grant" in failure.message
    assert len(google.token_requests) == 1


def test_restored_key_works_again(google: GoogleEmulator, account: ServiceAccount) -> None:
    """A failed refresh is forgotten: the next one asks anew."""
    google.revoke_key()
    failure_of(account)
    google.restore_key()
    assert asyncio.run(keeper(account).get()).value


def test_token_endpoint_in_trouble_is_unavailable(
    google: GoogleEmulator, account: ServiceAccount
) -> None:
    """A 503 of the token endpoint is retried as Google's own trouble."""
    google.fail(endpoint="token", status=503)
    failure = failure_of(account, timeout_seconds=20)
    assert isinstance(failure, UnavailableError)
    assert failure.is_retryable


@pytest.mark.parametrize("action", ["html", "truncated"])
def test_token_answer_that_is_no_token_is_unavailable(
    google: GoogleEmulator, account: ServiceAccount, action: Any
) -> None:
    """A proxy's page or a torn answer is retried; it is no bug and no refusal."""
    google.misbehave(action, endpoint="token")
    failure = failure_of(account)
    assert isinstance(failure, UnavailableError)


def test_token_request_follows_no_redirect(google: GoogleEmulator, account: ServiceAccount) -> None:
    """The signed assertion is not carried to another host, nor that host's token taken."""
    with GoogleEmulator() as elsewhere:
        google.misbehave("redirect", endpoint="token", location=f"{elsewhere.url}/token")
        assert isinstance(failure_of(account), UnauthorizedError)
        assert elsewhere.requests == []


def test_failing_refresh_ahead_is_not_tried_for_every_request() -> None:
    """While the old token lives, a revoked key is asked for a new one now and then."""
    with GoogleEmulator(token_lifetime_seconds=200) as google:
        account = ServiceAccount(google.wallet_options["credentials"], timeout_seconds=5)

        async def ask() -> None:
            tokens = keeper(account)
            await tokens.get()
            google.revoke_key()
            for _ in range(100):
                await tokens.get()
                await asyncio.sleep(0.002)

        asyncio.run(ask())
        assert len(google.token_requests) == 2


def test_unreachable_token_endpoint_is_a_network_failure(
    google: GoogleEmulator, account: ServiceAccount
) -> None:
    """A refused connection is retried, whatever google-auth says of it."""
    google.stop()
    failure = failure_of(account)
    assert isinstance(failure, NetworkError)
    assert failure.is_retryable


def test_hanging_token_endpoint_ends_in_time(google: GoogleEmulator) -> None:
    """Nobody waits longer for a token than for an answer."""
    google.misbehave("hang", endpoint="token")
    account = ServiceAccount(google.wallet_options["credentials"], timeout_seconds=0.5)
    started = time.monotonic()
    failure = failure_of(account, timeout_seconds=0.5)
    assert time.monotonic() - started < 2
    assert isinstance(failure, DeliveryTimeoutError)


def test_impatient_caller_does_not_end_the_refresh(
    google: GoogleEmulator, account: ServiceAccount
) -> None:
    """One task that is cancelled while it waits leaves the refresh to the others."""
    google.misbehave("latency", endpoint="token", seconds=0.2)

    async def ask() -> Token:
        tokens = keeper(account)
        impatient, patient = asyncio.create_task(tokens.get()), asyncio.create_task(tokens.get())
        await asyncio.sleep(0.05)
        impatient.cancel()
        return await patient

    assert asyncio.run(ask()).value
    assert len(google.token_requests) == 1
