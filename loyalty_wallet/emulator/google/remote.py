"""`RemoteGoogleEmulator`: the same operations on an emulator in another process."""

from __future__ import annotations

import json
from contextlib import closing
from http.client import HTTPConnection
from typing import Any, Unpack
from urllib.parse import urlencode, urlsplit

from .callbacks import Callback, CallbackOrder
from .control import CONTROL_ROOT
from .emulator import WalletOptions, wallet_options
from .faults import Action, Fault, FaultOrder
from .keys import ServiceAccount
from .log import LoggedRequest
from .rules import Resource

TIMEOUT_SECONDS = 60


class RemoteGoogleEmulator:
    """Talks to the control endpoint of a running emulator."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    @property
    def service_account(self) -> ServiceAccount:
        """A service-account JSON whose token endpoint is the emulator."""
        account: ServiceAccount = self._get("service-account")
        return account

    @property
    def wallet_options(self) -> WalletOptions:
        """The options with which a Google wallet talks to the emulator."""
        return wallet_options(self.url, self.state()["issuer_id"], self.service_account)

    @property
    def objects(self) -> dict[str, Resource]:
        """All stored objects by id, as they were sent."""
        stored: dict[str, Resource] = self._get("objects")
        return stored

    @property
    def classes(self) -> dict[str, Resource]:
        """All stored classes by id, as they were sent."""
        stored: dict[str, Resource] = self._get("classes")
        return stored

    @property
    def requests(self) -> list[LoggedRequest]:
        """All requests so far in the order of their arrival."""
        return self._requests()

    @property
    def token_requests(self) -> list[LoggedRequest]:
        """The requests to the token endpoint."""
        return self._requests(kind="token")

    @property
    def object_requests(self) -> list[LoggedRequest]:
        """The requests about loyalty objects."""
        return self._requests(kind="object")

    @property
    def class_requests(self) -> list[LoggedRequest]:
        """The requests about loyalty classes."""
        return self._requests(kind="class")

    def requests_for(self, object_id: str) -> list[LoggedRequest]:
        """Return the requests about one object."""
        return self._requests(object_id=object_id)

    def applied_writes(self, object_id: str) -> list[LoggedRequest]:
        """Return the writes to one object that took effect, in the order in which they did."""
        applied = [entry for entry in self.requests_for(object_id) if entry.applied_as is not None]
        return sorted(applied, key=lambda entry: entry.applied_as or 0)

    @property
    def max_in_flight_per_object(self) -> int:
        """The most requests that were ever under way at once for one and the same object."""
        most: int = self.state()["max_in_flight_per_object"]
        return most

    @property
    def faults(self) -> list[Fault]:
        """The faults in force."""
        return [Fault(**fault) for fault in self._get("faults")]

    def state(self) -> dict[str, Any]:
        """Return the emulator's condition in numbers."""
        state: dict[str, Any] = self._get("state")
        return state

    def fail(self, **order: Unpack[FaultOrder]) -> Fault:
        """Answer matching requests with an error status (default 503) instead of doing them."""
        return self.misbehave("status", **order)

    def misbehave(self, action: Action, **order: Unpack[FaultOrder]) -> Fault:
        """Let something go wrong with matching requests; see `Action` for what there is."""
        return Fault(**self._post("faults", action=action, **order))

    def heal(self, fault: Fault | None = None) -> None:
        """Take one fault, or all, out of force."""
        self._call("DELETE", "faults" if fault is None else f"faults/{fault.id}")

    def deny_issuer(self, issuer_id: str | None = None) -> None:
        """Refuse the service account's requests about an issuer, by default the emulator's own."""
        self._post("deny-issuer", issuer_id=issuer_id)

    def allow_issuer(self, issuer_id: str | None = None) -> None:
        """Let the service account edit an issuer's passes."""
        self._post("allow-issuer", issuer_id=issuer_id)

    def revoke_key(self) -> None:
        """Refuse the service account's key from now on; tokens it has got keep their time."""
        self._post("revoke-key")

    def restore_key(self) -> None:
        """Take the service account's key again."""
        self._post("restore-key")

    def revoke_tokens(self) -> None:
        """Make every token given out so far worthless."""
        self._post("revoke-tokens")

    def set_quota(
        self, requests_per_second: float | None, *, retry_after: float | str | None = None
    ) -> None:
        """Allow so many requests per second; None lifts the quota."""
        self._post("quota", requests_per_second=requests_per_second, retry_after=retry_after)

    def set_latency(self, seconds: float) -> None:
        """Hold every answer up by so many seconds."""
        self._post("latency", seconds=seconds)

    def edit_object(self, object_id: str, /, **fields: Any) -> None:
        """Change an object behind the client's back; None removes a field. Raises KeyError."""
        self._post("edit-object", id=object_id, fields=fields)

    def edit_class(self, class_id: str, /, **fields: Any) -> None:
        """Change a class behind the client's back; None removes a field. Raises KeyError."""
        self._post("edit-class", id=class_id, fields=fields)

    def forget_object(self, object_id: str) -> None:
        """Drop an object behind the client's back. Raises KeyError."""
        self._post("forget-object", id=object_id)

    def forget_class(self, class_id: str) -> None:
        """Drop a class behind the client's back. Raises KeyError."""
        self._post("forget-class", id=class_id)

    def customer_saves(self, link: str, callback: CallbackOrder = "once") -> list[str]:
        """Press a save link; return the ids of the objects that it puts on a phone.

        The callbacks go to the URL that the object's class names, before this returns. Raises
        ValueError for a link that Google would refuse.
        """
        object_ids: list[str] = self._post("customer-saves", link=link, callback=callback)
        return object_ids

    def customer_removes(self, object_id: str, callback: CallbackOrder = "once") -> None:
        """Remove an object from a phone. Raises KeyError when nobody has it."""
        self._post("customer-removes", object_id=object_id, callback=callback)

    def release_callbacks(self, *, newest_first: bool = False) -> None:
        """Send the callbacks that were ordered to be held."""
        self._post("release-callbacks", newest_first=newest_first)

    def repeat_callbacks(self) -> None:
        """Send again all callbacks that have been sent."""
        self._post("repeat-callbacks")

    @property
    def callbacks(self) -> list[Callback]:
        """The callbacks that have been sent, and how they were answered."""
        return [Callback(**callback) for callback in self._get("callbacks")]

    def reset(self) -> None:
        """Forget objects, classes, log, faults, tokens and customers."""
        self._post("reset")

    def _requests(self, **wanted: str) -> list[LoggedRequest]:
        query = f"?{urlencode(wanted)}" if wanted else ""
        return [LoggedRequest(**entry) for entry in self._get(f"requests{query}")]

    def _get(self, name: str) -> Any:
        return self._call("GET", name)

    def _post(self, name: str, **arguments: Any) -> Any:
        return self._call("POST", name, json.dumps(arguments))

    def _call(self, method: str, name: str, body: str | None = None) -> Any:
        parts = urlsplit(self.url)
        with closing(
            HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
        ) as connection:
            connection.request(method, f"{CONTROL_ROOT}{name}", body)
            response = connection.getresponse()
            answer = json.loads(response.read())
        if response.status == 404:
            raise KeyError(answer["error"])
        if response.status != 200:
            raise ValueError(answer["error"])
        return answer
