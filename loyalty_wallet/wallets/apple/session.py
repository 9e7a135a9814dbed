"""The requests of one run to APNs: each device that has not been told of a version is, once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ...exceptions import (
    DeliveryError,
    LeaseLostError,
    MisconfiguredError,
    PushRefusedError,
)
from ..base import (
    Outcome,
    PassUpdate,
    Permit,
    PushAnswer,
    PushTarget,
    Session,
)
from .apns import ApnsClient
from .apns_answers import PushReply
from .certificates import Certificates
from .push_tokens import TokenGuard


@dataclass(frozen=True, slots=True)
class _Ring:
    """One push to one device, however many passes wait for it."""

    started_at: float
    reply: asyncio.Task[PushReply]

    def speaks_of(self, update: PassUpdate) -> bool:
        """Whether the phone, when it asks, will find this version, and was told for certain."""
        if self.started_at < update.published_at:
            return False
        return not self.reply.done() or not (self.reply.cancelled() or self.reply.exception())


class AppleSession(Session):
    """Tells devices that there is news: one push a device, whichever of its passes changed."""

    def __init__(self, client: ApnsClient, certificates: Certificates) -> None:
        self._client = client
        self._certificates = certificates
        self._rings: dict[str, _Ring] = {}
        self._guard = TokenGuard()

    def begin_run(self) -> None:
        self._rings = {}
        self._guard = TokenGuard()

    async def authenticate(self) -> None:
        # RSA keys are checked when they are read, which takes a while.
        await asyncio.to_thread(self._certificates.load)

    async def deliver(self, update: PassUpdate, permit: Permit) -> Outcome:
        waiting = [target for target in update.targets if target.answer is None]
        rings = [self._ring(target, update, permit) for target in waiting]
        results = await asyncio.gather(*rings, return_exceptions=True)
        if errors := [result for result in results if isinstance(result, BaseException)]:
            raise _worst(errors)
        answers = {target.answer: target for target in update.targets}
        has_told = PushAnswer.ACCEPTED in answers
        if not has_told and (refused := answers.get(PushAnswer.REFUSED)):
            raise PushRefusedError(
                f"APNs took none of the pass's devices: {refused.reason}.", reason=refused.reason
            )
        return Outcome.UPDATED if update.is_changed or has_told else Outcome.UNCHANGED

    async def _ring(self, target: PushTarget, update: PassUpdate, permit: Permit) -> None:
        ring = self._rings.get(target.push_token)
        if ring is None or not ring.speaks_of(update):
            pushing = asyncio.create_task(self._push(target.push_token, permit))
            ring = self._rings[target.push_token] = _Ring(time.monotonic(), pushing)
        # Other passes may wait for the same push: it must outlive us.
        reply = await asyncio.shield(ring.reply)
        target.answer = reply.answer
        target.gone_since = reply.gone_since
        target.reason = reply.reason
        target.push_id = reply.apns_id
        target.answered_at = datetime.now(UTC)

    async def _push(self, push_token: str, permit: Permit) -> PushReply:
        await permit()
        reply = await self._client.push(push_token)
        if self._guard.note(reply.answer):
            raise MisconfiguredError(
                "APNs knows hardly any of the push tokens: is this the wrong environment, or the "
                "certificate of another pass type?"
            )
        return reply


def _worst(errors: Sequence[BaseException]) -> BaseException:
    """Return the error that decides what becomes of the pass."""

    def rank(error: BaseException) -> int:
        if not isinstance(error, DeliveryError | LeaseLostError):
            return 0
        if isinstance(error, DeliveryError) and error.stops_wallet:
            return 1
        return 3 if isinstance(error, LeaseLostError) else 2

    return min(errors, key=rank)
