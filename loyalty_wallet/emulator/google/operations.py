"""What a test can see of the emulated Google and do to it."""

from __future__ import annotations

import json
from typing import Any, Unpack

from .callbacks import Callback, CallbackOrder
from .customers import Customers
from .faults import Action, Fault, FaultOrder
from .log import LoggedRequest
from .quota import Quota
from .routes import Kind
from .rules import Resource
from .service import GoogleService
from .store import Shelf


class GoogleOperations:
    """The operations on one `GoogleService`, safe to call from any thread."""

    _service: GoogleService
    _customers: Customers

    @property
    def objects(self) -> dict[str, Resource]:
        """All stored objects by id, as they were sent."""
        return self._snapshot(self._service.api.objects)

    @property
    def classes(self) -> dict[str, Resource]:
        """All stored classes by id, as they were sent."""
        return self._snapshot(self._service.api.classes)

    @property
    def requests(self) -> list[LoggedRequest]:
        """All requests so far in the order of their arrival."""
        with self._service.lock:
            return list(self._service.log.entries)

    @property
    def token_requests(self) -> list[LoggedRequest]:
        """The requests to the token endpoint."""
        return self._requests_of("token")

    @property
    def object_requests(self) -> list[LoggedRequest]:
        """The requests about loyalty objects."""
        return self._requests_of("object")

    @property
    def class_requests(self) -> list[LoggedRequest]:
        """The requests about loyalty classes."""
        return self._requests_of("class")

    def requests_for(self, object_id: str) -> list[LoggedRequest]:
        """Return the requests about one object."""
        return [entry for entry in self.object_requests if entry.resource_id == object_id]

    def applied_writes(self, object_id: str) -> list[LoggedRequest]:
        """Return the writes to one object that took effect, in the order in which they did."""
        applied = [entry for entry in self.requests_for(object_id) if entry.applied_as is not None]
        return sorted(applied, key=lambda entry: entry.applied_as or 0)

    @property
    def max_in_flight_per_object(self) -> int:
        """The most requests that were ever under way at once for one and the same object."""
        return self._service.log.max_in_flight_per_object

    @property
    def faults(self) -> list[Fault]:
        """The faults in force."""
        with self._service.lock:
            return list(self._service.faults)

    def state(self) -> dict[str, Any]:
        """Return the emulator's condition in numbers."""
        return self._service.state()

    def fail(self, **order: Unpack[FaultOrder]) -> Fault:
        """Answer matching requests with an error status (default 503) instead of doing them."""
        return self.misbehave("status", **order)

    def misbehave(self, action: Action, **order: Unpack[FaultOrder]) -> Fault:
        """Let something go wrong with matching requests; see `Action` for what there is."""
        with self._service.lock:
            return self._service.faults.order(action, order)

    def heal(self, fault: Fault | None = None) -> None:
        """Take one fault, or all, out of force."""
        with self._service.lock:
            self._service.faults.heal(None if fault is None else fault.id)

    def deny_issuer(self, issuer_id: str | None = None) -> None:
        """Refuse the service account's requests about an issuer, by default the emulator's own."""
        with self._service.lock:
            self._service.api.allowed_issuers.discard(issuer_id or self._service.issuer_id)

    def allow_issuer(self, issuer_id: str | None = None) -> None:
        """Let the service account edit an issuer's passes."""
        with self._service.lock:
            self._service.api.allowed_issuers.add(issuer_id or self._service.issuer_id)

    def revoke_key(self) -> None:
        """Refuse the service account's key from now on; tokens it has got keep their time."""
        self._service.tokens.is_key_revoked = True

    def restore_key(self) -> None:
        """Take the service account's key again."""
        self._service.tokens.is_key_revoked = False

    def revoke_tokens(self) -> None:
        """Make every token given out so far worthless."""
        with self._service.lock:
            self._service.tokens.revoke_all()

    def set_quota(
        self, requests_per_second: float | None, *, retry_after: float | str | None = None
    ) -> None:
        """Allow so many requests per second; None lifts the quota."""
        quota = Quota(requests_per_second, retry_after=retry_after)
        with self._service.lock:
            self._service.quota = quota

    def set_latency(self, seconds: float) -> None:
        """Hold every answer up by so many seconds."""
        self._service.latency_seconds = seconds

    def edit_object(self, object_id: str, /, **fields: Any) -> None:
        """Change an object behind the client's back; None removes a field. Raises KeyError."""
        with self._service.lock:
            self._service.api.objects.edit(object_id, fields)

    def edit_class(self, class_id: str, /, **fields: Any) -> None:
        """Change a class behind the client's back; None removes a field. Raises KeyError."""
        with self._service.lock:
            self._service.api.classes.edit(class_id, fields)

    def forget_object(self, object_id: str) -> None:
        """Drop an object behind the client's back. Raises KeyError."""
        with self._service.lock:
            self._service.api.objects.forget(object_id)

    def forget_class(self, class_id: str) -> None:
        """Drop a class behind the client's back. Raises KeyError."""
        with self._service.lock:
            self._service.api.classes.forget(class_id)

    def customer_saves(self, link: str, callback: CallbackOrder = "once") -> list[str]:
        """Press a save link; return the ids of the objects that it puts on a phone.

        The callbacks go to the URL that the object's class names, before this returns. Raises
        SaveRefusedError, a ValueError, for a link that Google would refuse.
        """
        return self._customers.save(link, callback)

    def customer_removes(self, object_id: str, callback: CallbackOrder = "once") -> None:
        """Remove an object from a phone. Raises KeyError when nobody has it."""
        self._customers.remove(object_id, callback)

    def release_callbacks(self, *, newest_first: bool = False) -> None:
        """Send the callbacks that were ordered to be held."""
        self._customers.release(newest_first=newest_first)

    def repeat_callbacks(self) -> None:
        """Send again all callbacks that have been sent."""
        self._customers.repeat()

    @property
    def callbacks(self) -> list[Callback]:
        """The callbacks that have been sent, and how they were answered."""
        return list(self._customers.callbacks)

    def reset(self) -> None:
        """Forget objects, classes, log, faults, tokens and customers."""
        self._service.reset()
        self._customers.clear()

    def _requests_of(self, kind: Kind) -> list[LoggedRequest]:
        return [entry for entry in self.requests if entry.kind == kind]

    def _snapshot(self, shelf: Shelf) -> dict[str, Resource]:
        with self._service.lock:
            stored = dict(shelf.resources)
        # Stored values never change in place, so the slow copy needs no lock.
        copy: dict[str, Resource] = json.loads(json.dumps(stored))
        return copy
