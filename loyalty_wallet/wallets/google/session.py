"""An open connection to Google: delivers objects and their classes, and reads them back."""

from __future__ import annotations

import asyncio
from typing import Any

from ...exceptions import (
    ClassMissingError,
    DeliveryError,
    LeaseLostError,
    NotFoundError,
    NotificationQuotaError,
)
from ..base import (
    MessageOutcome,
    Outcome,
    PassMessage,
    PassUpdate,
    Payload,
    Permit,
    ProgramUpdate,
    Session,
    canonical_json,
)
from ..remote import RemotePage, RemotePass
from .answers import AlreadyExistsError
from .client import CLASSES, OBJECTS, Attempt, GoogleClient
from .payloads import OBJECT_FIELDS

PAGE_SIZE = 100
"""Objects a page of a list: Google documents no limit, and without one sends all at once."""
LISTED_FIELDS = ",".join((*OBJECT_FIELDS, "messages(id)", "hasUsers"))


class GoogleSession(Session):
    """Delivers objects, and their classes once a run."""

    def __init__(self, client: GoogleClient, *, timeout_seconds: float) -> None:
        self._client = client
        self._timeout_seconds = timeout_seconds
        self._classes: dict[str, asyncio.Task[None]] = {}

    def begin_run(self) -> None:
        self._classes = {}

    async def authenticate(self) -> None:
        await self._client.authenticate()

    async def deliver(self, update: PassUpdate, permit: Permit) -> Outcome:
        attempt = Attempt(permit, timeout_seconds=self._timeout_seconds)
        program = update.program
        if not program.is_known:
            await self._ensure_class(program, permit)
        outcome = Outcome.UNCHANGED
        if update.is_changed:
            outcome = await self._put_object(update, attempt)
        # A known class comes last: new colours must not hold back a balance.
        if program.is_known and program.is_changed:
            await self._ensure_class(program, permit)
        return outcome

    async def add_message(
        self, remote_id: str, message: PassMessage, permit: Permit, *, may_be_there: bool
    ) -> MessageOutcome:
        attempt = Attempt(permit, timeout_seconds=self._timeout_seconds)
        if may_be_there and message.id in await self._client.message_ids(remote_id, attempt):
            return MessageOutcome.FOUND
        text = {"id": message.id, "header": message.header, "body": message.body}
        if message.notify:
            loud = {**text, "messageType": "TEXT_AND_NOTIFY"}
            try:
                await self._client.add_message(remote_id, loud, attempt)
            except NotificationQuotaError:
                pass
            else:
                return MessageOutcome.SENT
        await self._client.add_message(remote_id, {**text, "messageType": "TEXT"}, attempt)
        return MessageOutcome.MUTED if message.notify else MessageOutcome.SENT

    async def list_passes(self, program_id: str, token: str, permit: Permit) -> RemotePage:
        attempt = Attempt(permit, timeout_seconds=self._timeout_seconds)
        found, next_token = await self._client.list_objects(
            program_id, attempt, fields=LISTED_FIELDS, size=PAGE_SIZE, token=token
        )
        return RemotePage(
            passes=[
                RemotePass(remote_id=entry["id"], payload=entry, has_users=_has_users(entry))
                for entry in found
            ],
            next_token=next_token,
        )

    async def _put_object(self, update: PassUpdate, attempt: Attempt) -> Outcome:
        try:
            answer = await self._patch_object(update, attempt)
        except NotFoundError:
            if update.is_blank:
                return Outcome.UPDATED
            if not update.may_create:
                raise
        else:
            update.answer.has_users = _has_users(answer)
            return Outcome.UPDATED
        try:
            await self._insert_object(update, attempt)
        except AlreadyExistsError:
            # Somebody inserted it just now, or our own insert landed and its answer was lost.
            await self._patch_object(update, attempt)
            return Outcome.UPDATED
        return Outcome.CREATED

    async def _patch_object(self, update: PassUpdate, attempt: Attempt) -> dict[str, Any]:
        if update.notify and not update.answer.was_muted:
            # Not part of what is remembered: Google forgets it after the one request.
            loud = canonical_json({**update.payload, "notifyPreference": "NOTIFY_ON_UPDATE"})
            try:
                return await self._client.patch(OBJECTS, update.remote_id, loud, attempt)
            except NotificationQuotaError:
                # The balance matters more than that somebody is told of it.
                update.answer.was_muted = True
        return await self._client.patch(OBJECTS, update.remote_id, update.body, attempt)

    async def _insert_object(self, update: PassUpdate, attempt: Attempt) -> None:
        object_id, payload = update.remote_id, update.payload
        try:
            await self._client.insert(OBJECTS, object_id, payload, attempt)
        except NotFoundError:
            # The class is gone though we knew it.
            await self._ensure_class(update.program, attempt.permit, is_lost=True)
        else:
            return
        try:
            await self._client.insert(OBJECTS, object_id, payload, attempt)
        except NotFoundError as error:
            raise _class_missing(error) from error

    async def _ensure_class(
        self, program: ProgramUpdate, permit: Permit, *, is_lost: bool = False
    ) -> None:
        """Bring the class up to date once for all cards that wait for it.

        A failure that no retry mends is remembered, so that it costs one request, not one a card.
        """
        key = f"lost {program.remote_id}" if is_lost else program.remote_id
        while True:
            task = self._classes.get(key)
            is_ours = task is None or (task.done() and _may_succeed_later(task))
            if task is None or is_ours:
                task = asyncio.create_task(self._put_class(program, permit))
                self._classes[key] = task
            try:
                await asyncio.shield(task)
            except LeaseLostError:
                if is_ours:
                    raise
                # It was another card's lease that ended: go on with our own.
            else:
                return

    async def _put_class(self, program: ProgramUpdate, permit: Permit) -> None:
        attempt = Attempt(permit, timeout_seconds=self._timeout_seconds)
        class_id, body = program.remote_id, canonical_json(program.payload)
        try:
            await self._client.patch(CLASSES, class_id, body, attempt)
        except NotFoundError:
            try:
                await self._client.insert(CLASSES, class_id, program.payload, attempt)
            except AlreadyExistsError:
                await self._client.patch(CLASSES, class_id, body, attempt)
            except NotFoundError as error:
                raise _class_missing(error) from error


def _has_users(resource: Payload) -> bool | None:
    has_users = resource.get("hasUsers")
    return has_users if isinstance(has_users, bool) else None


def _may_succeed_later(task: asyncio.Task[None]) -> bool:
    if task.cancelled():
        return True
    error = task.exception()
    if isinstance(error, DeliveryError):
        return error.is_retryable
    return error is not None


def _class_missing(error: NotFoundError) -> ClassMissingError:
    return ClassMissingError(error.message, http_status=error.http_status, reason=error.reason)
