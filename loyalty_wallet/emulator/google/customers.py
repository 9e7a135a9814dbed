"""The emulated customers: they press a save link, or remove a card from their phone."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from .callbacks import Callback, CallbackOrder, CallbackSigner, Event
from .errors import AlreadyExistsError, GoogleApiError, OAuthError
from .keys import CLIENT_EMAIL
from .log import LoggedRequest
from .routes import Kind
from .service import GoogleService
from .tokens import CLOCK_SKEW_SECONDS


class SaveRefusedError(ValueError):
    """Google shows the customer "Something went wrong" instead of the card."""


@dataclass(slots=True, kw_only=True)
class Customers:
    """Everybody who has cards of this Google's on their phone.

    Callbacks are sent by the thread that lets a customer act, after the lock has been let go: their
    receiver asks this emulator for its keys meanwhile.
    """

    service: GoogleService
    callbacks: list[Callback] = field(default_factory=list)
    _held: list[Callback] = field(default_factory=list)
    _holders: Counter[str] = field(default_factory=Counter)
    _forger: CallbackSigner = field(default_factory=CallbackSigner)

    def save(self, link: str, callback: CallbackOrder) -> list[str]:
        """Save the objects of a link; raises SaveRefusedError for one that Google refuses."""
        with self.service.lock:
            object_ids = self._saved(link.rpartition("/")[2])
            for object_id in object_ids:
                self._hold(object_id, +1)
        for object_id in object_ids:
            self._tell(object_id, "save", callback)
        return object_ids

    def remove(self, object_id: str, callback: CallbackOrder) -> None:
        """Let one holder remove a card; raises KeyError when nobody has it."""
        with self.service.lock:
            if not self._holders[object_id]:
                raise KeyError(object_id)
            self._hold(object_id, -1)
        self._tell(object_id, "del", callback)

    def release(self, *, newest_first: bool) -> None:
        """Send the callbacks that were held."""
        held, self._held = self._held, []
        for callback in reversed(held) if newest_first else held:
            self.callbacks.append(callback)
            callback.send()

    def repeat(self) -> None:
        """Send again what has been sent, in the same order."""
        for callback in list(self.callbacks):
            callback.send()

    def clear(self) -> None:
        """Forget who has what, and all callbacks."""
        self.callbacks = []
        self._held = []
        self._holders.clear()

    def _saved(self, token: str) -> list[str]:
        try:
            claims = self.service.tokens.verified_claims(token)
        except OAuthError as error:
            raise SaveRefusedError(str(error)) from error
        if (claims.get("iss"), claims.get("aud"), claims.get("typ")) != (
            CLIENT_EMAIL,
            "google",
            "savetowallet",
        ):
            raise SaveRefusedError("The token's iss, aud or typ is not that of a save link.")
        now, issued_at = time.time(), claims.get("iat")
        if not isinstance(issued_at, int) or issued_at > now + CLOCK_SKEW_SECONDS:
            raise SaveRefusedError("The token's iat is not a moment in the past.")
        if claims.get("exp", now) < now - CLOCK_SKEW_SECONDS:
            raise SaveRefusedError("The token has expired.")
        payload = claims.get("payload")
        payload = payload if isinstance(payload, dict) else {}
        for loyalty_class in payload.get("loyaltyClasses", ()):
            self._embed("class", loyalty_class)
        objects = payload.get("loyaltyObjects", ())
        for loyalty_object in objects:
            self._embed("object", loyalty_object)
        if not objects:
            raise SaveRefusedError("The token names no object.")
        return [loyalty_object["id"] for loyalty_object in objects]

    def _embed(self, kind: Kind, resource: Any) -> None:
        """Insert what the link carries whole. What exists stays as it is, as at Google."""
        request = LoggedRequest(
            sequence=0,
            method="POST",
            path="",
            kind=kind,
            resource_id=None,
            query={},
            body=resource,
            token=None,
            arrived_at=time.monotonic(),
        )
        if self._exists(kind, resource):
            return
        try:
            self.service.api.insert(request, True)
        except AlreadyExistsError:
            return
        except GoogleApiError as error:
            raise SaveRefusedError(f"The {kind} cannot be saved: {error.message}") from error

    def _exists(self, kind: Kind, resource: Any) -> bool:
        api = self.service.api
        shelf = api.objects if kind == "object" else api.classes
        resource_id = resource.get("id", "") if isinstance(resource, dict) else ""
        return resource_id in shelf.resources and api.may_edit(resource_id)

    def _hold(self, object_id: str, change: int) -> None:
        self._holders[object_id] += change
        self.service.api.objects.edit(object_id, {"hasUsers": self._holders[object_id] > 0})

    def _tell(self, object_id: str, event: Event, order: CallbackOrder) -> None:
        with self.service.lock:
            stored = self.service.api.objects.resources[object_id]
            loyalty_class = self.service.api.classes.resources.get(stored["classId"], {})
            url = loyalty_class.get("callbackOptions", {}).get("url")
            if not url or order == "lost":
                return
            signer = self._forger if order == "forged" else self.service.callback_signer
            nonce, body = signer.sign(
                object_id=object_id,
                class_id=stored["classId"],
                event=event,
                is_expired=order == "expired",
            )
        callback = Callback(object_id=object_id, event=event, nonce=nonce, url=url, body=body)
        if order == "held":
            self._held.append(callback)
            return
        self.callbacks.append(callback)
        callback.send()
        if order == "twice":
            callback.send()
