"""Google's REST API: one request, its token, its time limit and the meaning of its answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from ...exceptions import DeliveryTimeoutError, NetworkError, UnavailableError
from ..base import Payload, Permit, canonical_json
from .answers import error_for, read_answer, read_page, read_resource
from .credentials import Token, TokenKeeper

CLASSES = "loyaltyClass"
OBJECTS = "loyaltyObject"
SERVICE_PATH = "/walletobjects/v1"
ANSWERED_FIELDS = {CLASSES: "id", OBJECTS: "id,hasUsers"}
"""What of a resource its write answers: Google echoes all of it unless told otherwise."""
MOST_ANSWER_BYTES = 16 * 1024 * 1024
"""A hundred objects are far less; an answer without end must not fill the memory."""
HEADERS = {
    "User-Agent": "loyalty-wallet (gzip)",
    "Content-Type": "application/json; charset=UTF-8",
}


class Attempt:
    """One attempt: the permit for each of its requests, and their share of its total timeout."""

    def __init__(self, permit: Permit, *, timeout_seconds: float) -> None:
        self.permit = permit
        self.seconds_left = timeout_seconds


class GoogleClient:
    """Sends requests over one pool of connections; belongs to one event loop.

    Its methods return the answer's resource and raise DeliveryError or LeaseLostError.
    """

    def __init__(self, http: aiohttp.ClientSession, tokens: TokenKeeper, *, api_url: str) -> None:
        self._http = http
        self._tokens = tokens
        self._root = f"{api_url.rstrip('/')}{SERVICE_PATH}"

    async def authenticate(self) -> None:
        """Make sure that there is a token."""
        await self._tokens.get()

    async def patch(
        self, kind: str, resource_id: str, body: bytes, attempt: Attempt
    ) -> dict[str, Any]:
        """Change the fields that the JSON of `body` names; a null clears its field."""
        url = self._url(f"{kind}/{resource_id}", fields=ANSWERED_FIELDS[kind])
        status, answer = await self._send("PATCH", url, body, attempt)
        return read_resource(answer, status=status, resource_id=resource_id)

    async def insert(
        self, kind: str, resource_id: str, payload: Payload, attempt: Attempt
    ) -> dict[str, Any]:
        present = {name: value for name, value in payload.items() if value is not None}
        body = canonical_json(present)
        url = self._url(kind, fields=ANSWERED_FIELDS[kind])
        status, answer = await self._send("POST", url, body, attempt)
        return read_resource(answer, status=status, resource_id=resource_id)

    async def add_message(
        self, object_id: str, message: Mapping[str, str], attempt: Attempt
    ) -> None:
        """Add one message to an object. Google does not notice when it gets the same one twice."""
        url = self._url(f"{OBJECTS}/{object_id}/addMessage", fields="resource/id")
        body = canonical_json({"message": message})
        status, answer = await self._send("POST", url, body, attempt)
        read_answer(answer, status=status)

    async def message_ids(self, object_id: str, attempt: Attempt) -> list[str]:
        """Return the ids of the messages that an object has."""
        url = self._url(f"{OBJECTS}/{object_id}", fields="id,messages/id")
        status, answer = await self._send("GET", url, None, attempt)
        resource = read_resource(answer, status=status, resource_id=object_id)
        return [str(message.get("id", "")) for message in resource.get("messages") or ()]

    async def list_classes(self, issuer_id: str, attempt: Attempt) -> list[dict[str, Any]]:
        """Return the id and the review status of an issuer's first hundred classes."""
        wanted = {"issuerId": issuer_id, "maxResults": "100"}
        url = self._url(CLASSES, fields="resources(id,reviewStatus)", **wanted)
        status, answer = await self._send("GET", url, None, attempt)
        return read_page(answer, status=status)[0]

    async def list_objects(
        self, class_id: str, attempt: Attempt, *, fields: str, size: int, token: str = ""
    ) -> tuple[list[dict[str, Any]], str]:
        """Return a page of a class's objects, and the token of the next page, empty for none."""
        wanted = {
            "classId": class_id,
            "maxResults": str(size),
            **({"token": token} if token else {}),
        }
        selected = f"resources({fields}),pagination/nextPageToken"
        url = self._url(OBJECTS, fields=selected, **wanted)
        status, answer = await self._send("GET", url, None, attempt)
        return read_page(answer, status=status)

    def _url(self, path: str, **parameters: str) -> URL:
        query = urlencode({**parameters, "prettyPrint": "false"}, safe="(),/")
        return URL(f"{self._root}/{path}?{query}", encoded=True)

    async def _send(
        self, method: str, url: URL, body: bytes | None, attempt: Attempt
    ) -> tuple[int, bytes]:
        """Return status and body of a 2xx answer."""
        token = await self._tokens.get()
        status, headers, answer = await self._exchange(method, url, body, token, attempt)
        if status == HTTPStatus.UNAUTHORIZED:
            token = await self._tokens.get(refused=token)
            status, headers, answer = await self._exchange(method, url, body, token, attempt)
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise error_for(status, headers, answer)
        return status, answer

    async def _exchange(
        self, method: str, url: URL, body: bytes | None, token: Token, attempt: Attempt
    ) -> tuple[int, Mapping[str, str], bytes]:
        headers = {"Authorization": f"Bearer {token.value}"}
        await attempt.permit()
        started = time.monotonic()
        try:
            async with (
                asyncio.timeout(attempt.seconds_left),
                self._http.request(
                    method, url, data=body, headers=headers, allow_redirects=False
                ) as response,
            ):
                return response.status, response.headers, await _read(response)
        except TimeoutError as error:
            raise DeliveryTimeoutError("The whole answer did not arrive in time.") from error
        except aiohttp.ClientConnectorError as error:
            raise NetworkError(
                f"Cannot connect to {url.host}:{url.port}: {error.os_error.strerror or error}"
            ) from error
        except aiohttp.ClientError as error:
            raise NetworkError(
                f"The connection to {url.host} broke: {type(error).__name__}: {error}"
            ) from error
        finally:
            attempt.seconds_left = max(0.0, attempt.seconds_left - (time.monotonic() - started))


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > MOST_ANSWER_BYTES:
            raise UnavailableError("The answer has no end.", http_status=response.status)
    return bytes(body)
