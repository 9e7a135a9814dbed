"""Google's REST API: one request, its token, its time limit and the meaning of its answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import aiohttp
from yarl import URL

from ...exceptions import DeliveryTimeoutError, NetworkError
from ..base import Payload, Permit, canonical_json
from .answers import error_for, read_resource
from .credentials import Token, TokenKeeper

SERVICE_PATH = "/walletobjects/v1"
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
        url = self._url(f"{kind}/{resource_id}")
        return await self._send("PATCH", url, body, resource_id, attempt)

    async def insert(
        self, kind: str, resource_id: str, payload: Payload, attempt: Attempt
    ) -> dict[str, Any]:
        present = {name: value for name, value in payload.items() if value is not None}
        body = canonical_json(present)
        return await self._send("POST", self._url(kind), body, resource_id, attempt)

    async def list_classes(self, issuer_id: str, attempt: Attempt) -> list[dict[str, Any]]:
        """Return the id and the review status of an issuer's first hundred classes."""
        query = "maxResults=100&fields=resources(id,reviewStatus)&prettyPrint=false"
        url = URL(f"{self._root}/loyaltyClass?issuerId={issuer_id}&{query}", encoded=True)
        answer = await self._send("GET", url, None, "", attempt)
        found = answer.get("resources")
        return [entry for entry in found or () if isinstance(entry, dict)]

    def _url(self, path: str) -> URL:
        # Compact answers: Google echoes the whole resource, pretty-printed, unless told otherwise.
        return URL(f"{self._root}/{path}?fields=id&prettyPrint=false", encoded=True)

    async def _send(
        self, method: str, url: URL, body: bytes | None, resource_id: str, attempt: Attempt
    ) -> dict[str, Any]:
        token = await self._tokens.get()
        status, headers, answer = await self._exchange(method, url, body, token, attempt)
        if status == HTTPStatus.UNAUTHORIZED:
            token = await self._tokens.get(refused=token)
            status, headers, answer = await self._exchange(method, url, body, token, attempt)
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise error_for(status, headers, answer)
        return read_resource(answer, status=status, resource_id=resource_id)

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
                return response.status, response.headers, await response.read()
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
