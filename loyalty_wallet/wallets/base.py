"""What every wallet can do, and the values it speaks.

A `Wallet` renders cards into its provider's payloads and opens a `Session`, which delivers them.
The caller decides when to deliver, how often to try again, and what to write down.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Self
from urllib.parse import urlsplit

from ..cards import Card, Program, ProgramKind
from ..exceptions import DeliveryError, RateLimitedError, UnauthorizedError
from .remote import RemotePage
from .updates import (
    MessageOutcome,
    Outcome,
    PassAnswer,
    PassMessage,
    PassUpdate,
    Payload,
    ProgramUpdate,
    PushAnswer,
    PushTarget,
    canonical_json,
    fingerprint,
)

__all__ = [
    "MAX_CONCURRENCY",
    "MessageOutcome",
    "Outcome",
    "PassAnswer",
    "PassMessage",
    "PassUpdate",
    "Payload",
    "Permit",
    "ProbeResult",
    "ProgramUpdate",
    "PushAnswer",
    "PushTarget",
    "Session",
    "Wallet",
    "canonical_json",
    "fingerprint",
    "is_loopback",
    "is_safe_url",
]

Permit = Callable[[], Awaitable[None]]
"""Awaited before every request: it waits for the rate limit and refuses when the lease ends.

Raises LeaseLostError when the pass may no longer be delivered by this caller.
"""

MAX_CONCURRENCY = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """What one look at the provider found; None and `unknown` stand for what it did not find out."""

    is_reachable: bool | None = None
    """The provider answered as it should."""
    is_authorised: bool | None = None
    """It knows us, and lets us do our work."""
    publishing: str = "unknown"
    """`approved`, `under_review`, `draft`, `rejected`, or `not_needed` where nobody reviews."""
    code: str = ""
    """Of the failure, if there was one."""
    message: str = ""

    @classmethod
    def of(cls, error: DeliveryError) -> Self:
        """Return what an error says of the provider."""
        has_answered = error.http_status is not None or isinstance(error, UnauthorizedError)
        if isinstance(error, RateLimitedError):
            verdict: tuple[bool | None, bool | None] = True, True
        elif error.is_retryable:
            verdict = False, None
        else:
            verdict = (True, False) if has_answered else (None, None)
        return cls(
            is_reachable=verdict[0],
            is_authorised=verdict[1],
            code=error.code,
            message=error.message,
        )


class Session(ABC):
    """An open connection to the provider, for one event loop and any number of runs."""

    @abstractmethod
    def begin_run(self) -> None:
        """Forget what earlier runs met: a program that was refused then is tried again."""

    @abstractmethod
    async def authenticate(self) -> None:
        """Make sure that requests can be signed.

        Raises MisconfiguredError or UnauthorizedError when no request could succeed.
        """

    @abstractmethod
    async def deliver(self, update: PassUpdate, permit: Permit) -> Outcome:
        """Make one attempt to bring one pass up to date.

        Raises DeliveryError, whose class says whether to try again, and LeaseLostError.
        """

    async def add_message(
        self, remote_id: str, message: PassMessage, permit: Permit, *, may_be_there: bool
    ) -> MessageOutcome:
        """Make one attempt to put a message on a pass.

        With `may_be_there` the provider is asked for it first: it would take it twice. Only where
        the wallet `can_notify`. Raises DeliveryError, and NotFoundError for a pass that is not there.
        """
        raise NotImplementedError

    async def list_passes(self, program_id: str, token: str, permit: Permit) -> RemotePage:
        """Read one page of the passes that the provider has of a program.

        Only where the wallet `can_list`. Raises DeliveryError.
        """
        raise NotImplementedError


class Wallet(ABC):
    """A configured provider. The constructor's keywords are the OPTIONS of the settings.

    `requests_per_second` caps the requests to the provider (None: no cap), `concurrency` the ones
    in flight, `timeout_seconds` the whole of one attempt: connect, send, wait and read.
    """

    provider: ClassVar[str] = ""
    """Whose wallet it is: `google`, `apple`."""
    count_names: ClassVar[tuple[str, ...]]
    """What a report says of this wallet."""
    counted_as: ClassVar[Mapping[str, str]] = {}
    """Names of `count_names` that stand for what batches count under another name."""
    field_labels: ClassVar[Mapping[str, str]] = {}
    """What people call the fields of a payload, by their paths, in the order of reading.

    `program.` begins the paths of a program's payload. A field without a name here is shown by
    its path, and only where it differs.
    """
    is_published: ClassVar[bool] = False
    """Phones fetch their passes from us: a version is put on record, then their devices are told."""
    throttle_score: float | None = None
    """Devices whose count of hasty pushes would rise above this wait; see `sync.throttle`."""
    urgent_throttle_score: float | None = None
    """The same for what a customer or an operator waits for."""
    can_notify: ClassVar[bool] = False
    """The provider tells customers of an update, or of a message, when it is asked to."""
    can_list: ClassVar[bool] = False
    """The provider tells which passes it has, so that they can be compared with ours."""

    def __init__(
        self,
        alias: str,
        *,
        requests_per_second: float | None = 20,
        concurrency: int = 16,
        timeout_seconds: float = 10,
    ) -> None:
        if requests_per_second is not None and not 0 < requests_per_second < float("inf"):
            raise ValueError("requests_per_second must be positive, or None for no limit.")
        if concurrency not in range(1, MAX_CONCURRENCY + 1):
            raise ValueError(f"concurrency must be from 1 to {MAX_CONCURRENCY}.")
        if not 0 < timeout_seconds < float("inf"):
            raise ValueError("timeout_seconds must be positive.")
        self.alias = alias
        self.requests_per_second = requests_per_second
        self.concurrency = concurrency
        self.timeout_seconds = timeout_seconds

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.alias!r}>"

    @abstractmethod
    def remote_id(self, suffix: str) -> str:
        """Return the provider's id for a new pass with this opaque suffix."""

    @abstractmethod
    def program_id(self, program_key: str) -> str:
        """Return the provider's id for a program."""

    @abstractmethod
    def render(self, card: Card, *, remote_id: str, program_id: str) -> Payload:
        """Return what the provider should have of `card`, in the provider's own terms.

        Deterministic: equal cards give equal payloads. Raises InvalidCardError.
        """

    def render_blank(self, delivered: Payload, *, remote_id: str, program_id: str) -> Payload:
        """Return what the provider should have of a pass whose card is gone, or was erased.

        Inactive, and without anything of its customer. `delivered` is what was delivered last,
        possibly nothing; what it says of the program may stay.
        """
        program = Program(key="-", name="-", issuer_name="-", kind=ProgramKind.POINTS)
        blank = Card(key="-", program=program, card_number="", is_active=False)
        return self.render(blank, remote_id=remote_id, program_id=program_id)

    @abstractmethod
    def render_program(self, program: Program, *, program_id: str) -> Payload:
        """Return what the provider should have of `program`. Raises InvalidCardError."""

    @abstractmethod
    def connect(self) -> AbstractAsyncContextManager[Session]:
        """Open a session; secrets are read when it first needs them."""

    def has_risen(self, delivered: Payload, payload: Payload) -> bool:
        """Say whether a balance is higher than what was delivered, so that a customer may be told.

        Only of a provider that notifies when it is asked to.
        """
        return False

    def differing_fields(self, payload: Payload, found: Payload) -> list[str]:
        """Return the names of our fields that the provider has otherwise, however it spells them.

        Only where the wallet `can_list`; `payload` is what was delivered.
        """
        raise NotImplementedError

    def check(self) -> list[str]:
        """Return what is wrong with the configuration, without any network."""
        return []

    def expires_at(self) -> datetime | None:
        """Return when its certificate ends, without any network; None for none that can be read."""
        return None

    async def probe(self, program_ids: Collection[str]) -> ProbeResult:
        """Ask the provider, once and without changing anything, whether it would serve us.

        `program_ids` are the provider's ids of the programs that were delivered. May take as long
        as the network does: the caller sets the limit. Raises DeliveryError.
        """
        return ProbeResult()


def is_safe_url(url: str) -> bool:
    """Say whether secrets may be sent there: over https, or without leaving this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))


def is_loopback(host: str | None) -> bool:
    """Say whether `host` is this machine: the only place where plain http is accepted."""
    return host in {"127.0.0.1", "localhost", "::1"}
