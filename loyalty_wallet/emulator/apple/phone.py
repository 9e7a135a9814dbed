"""`Phone`: an iPhone as our web service knows it.

It does what Wallet is documented and reported to do: registers and asks for the list at once,
keeps the tag, fetches with the Last-Modified that it was given, takes only what verifies, and
complains of what it does not understand.
"""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import requests
from cryptography import x509

from .authority import Authority
from .signatures import InvalidPassError, open_pass

TIMEOUT_SECONDS = 10


@dataclass(slots=True)
class PassOnPhone:
    """A pass as the phone shows it, and where it fetches it from."""

    content: dict[str, Any]
    archive: bytes
    last_modified: str = ""

    @property
    def balance(self) -> Any:
        """What the header shows: what a customer sees of the card in a stack."""
        return self.content["storeCard"]["headerFields"][0]["value"]

    @property
    def is_voided(self) -> bool:
        return bool(self.content.get("voided"))


class Phone:
    """One device with the passes of one pass type; safe to be woken by another thread.

    `complaints` are the lines that it has sent to the web service's log.
    """

    def __init__(self, authority: Authority, *, push_token: str | None = None) -> None:
        self.push_token = push_token or uuid.uuid4().hex * 2
        self.device_library_identifier = uuid.uuid4().hex
        self.passes: dict[str, PassOnPhone] = {}
        self.complaints: list[str] = []
        self.tag = ""
        self._root: x509.Certificate = authority.root.certificate
        self._lock = threading.RLock()
        self._http = requests.Session()
        self._http.trust_env = False

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def add(self, archive: bytes) -> None:
        """Let the customer add a pass: take it if it verifies, register, and ask for the list.

        Raises InvalidPassError, and ValueError when the web service refuses the registration.
        """
        content = open_pass(archive, self._root)
        serial_number = content["serialNumber"]
        with self._lock:
            self.passes[serial_number] = PassOnPhone(content, archive)
            status = self.register(serial_number)
            if status not in (HTTPStatus.OK, HTTPStatus.CREATED):
                del self.passes[serial_number]
                raise ValueError(f"The web service refused the registration with {status}.")
            self._update(is_pushed=False)

    def register(self, serial_number: str) -> int:
        """Ask to be told of a pass; return the status."""
        held = self.passes[serial_number]
        answer = self._http.post(
            f"{self._registrations(held)}/{serial_number}",
            json={"pushToken": self.push_token},
            headers=_authorization(held),
            timeout=TIMEOUT_SECONDS,
            allow_redirects=False,
        )
        if answer.status_code not in (HTTPStatus.OK, HTTPStatus.CREATED):
            self._complain(held, "Register task", _trouble(answer.status_code))
        return answer.status_code

    def wake(self) -> None:
        """Do what a push makes a phone do: ask what is new, and fetch it."""
        with self._lock:
            self._update(is_pushed=True)

    def remove(self, serial_number: str) -> int:
        """Let the customer delete a pass; return the web service's status."""
        with self._lock:
            held = self.passes.pop(serial_number)
            answer = self._http.delete(
                f"{self._registrations(held)}/{serial_number}",
                headers=_authorization(held),
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,
            )
            return answer.status_code

    def _update(self, *, is_pushed: bool) -> None:
        if not self.passes:
            return
        any_pass = next(iter(self.passes.values()))
        answer = self._http.get(
            self._registrations(any_pass),
            params={"passesUpdatedSince": self.tag} if self.tag else None,
            timeout=TIMEOUT_SECONDS,
            allow_redirects=False,
        )
        if answer.status_code == HTTPStatus.NO_CONTENT:
            if is_pushed:
                self._complain(any_pass, "Get serial numbers task", "spurious push")
            return
        if answer.status_code != HTTPStatus.OK:
            self._complain(any_pass, "Get serial numbers task", _trouble(answer.status_code))
            return
        listed = answer.json()
        tag, serial_numbers = listed.get("lastUpdated"), listed.get("serialNumbers")
        if not (isinstance(tag, str) and isinstance(serial_numbers, list)):
            self._complain(any_pass, "Get serial numbers task", "malformed response")
            return
        if tag == self.tag:
            self._complain(any_pass, "Get serial numbers task", "the tag remained the same")
        self.tag = tag
        for serial_number in serial_numbers:
            self._fetch(serial_number, is_asked=is_pushed)

    def _fetch(self, serial_number: str, *, is_asked: bool) -> None:
        held = self.passes.get(serial_number)
        if held is None:
            any_pass = next(iter(self.passes.values()))
            self._complain(
                any_pass,
                "Get pass task",
                f"update requested for unregistered serial {serial_number}",
            )
            return
        headers = _authorization(held)
        if held.last_modified:
            headers["If-Modified-Since"] = held.last_modified
        answer = self._http.get(
            f"{held.content['webServiceURL']}/v1/passes/{held.content['passTypeIdentifier']}"
            f"/{serial_number}",
            headers=headers,
            timeout=TIMEOUT_SECONDS,
            allow_redirects=False,
        )
        if answer.status_code == HTTPStatus.NOT_MODIFIED:
            if is_asked:
                self._complain(held, "Get pass task", "the pass was unchanged")
            return
        if answer.status_code != HTTPStatus.OK:
            self._complain(held, "Get pass task", _trouble(answer.status_code))
            return
        self._take(held, answer)

    def _take(self, held: PassOnPhone, answer: requests.Response) -> None:
        """Show the new version, if it verifies and is of the pass that was asked for."""
        try:
            content = open_pass(answer.content, self._root)
        except InvalidPassError as error:
            self._complain(held, "Get pass task", f"received invalid pass data: {error}")
            return
        for field in ("passTypeIdentifier", "serialNumber"):
            if content[field] != held.content[field]:
                self._complain(
                    held,
                    "Get pass task",
                    f"requested {held.content[field]} received {content[field]}",
                )
                return
        last_modified = answer.headers.get("Last-Modified", "")
        if not last_modified:
            self._complain(held, "Get pass task", "missing last-modified header")
        held.content, held.archive, held.last_modified = content, answer.content, last_modified

    def _registrations(self, held: PassOnPhone) -> str:
        return (
            f"{held.content['webServiceURL']}/v1/devices/{self.device_library_identifier}"
            f"/registrations/{held.content['passTypeIdentifier']}"
        )

    def _complain(self, held: PassOnPhone, task: str, problem: str) -> None:
        content = held.content
        line = (
            f"[{datetime.now(UTC):%Y-%m-%d %H:%M:%S +0000}] {task} (pass type "
            f"{content['passTypeIdentifier']}, serial number {content['serialNumber']}; with web "
            f"service url {content['webServiceURL']}) encountered error: {problem}"
        )
        self.complaints.append(line)
        self._http.post(
            f"{content['webServiceURL']}/v1/log", json={"logs": [line]}, timeout=TIMEOUT_SECONDS
        )


def _authorization(held: PassOnPhone) -> dict[str, str]:
    return {"Authorization": f"ApplePass {held.content['authenticationToken']}"}


def _trouble(status: int) -> str:
    if status == HTTPStatus.UNAUTHORIZED:
        return "authentication failure"
    return f"unexpected response code {status}"
