"""What travels back over the socket: whole answers, and broken ones to order."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from .dialect import JSON_TYPE, encode_compact
from .errors import envelope
from .faults import Fault
from .log import LoggedRequest
from .service import Answer

OAUTH_ERRORS_BY_STATUS = {400: "invalid_grant", 401: "invalid_client"}
PROXY_PAGE = b"<!doctype html><title>Sign in</title><h1>Sign in to the network</h1>"


def whole(answer: Answer) -> web.Response:
    """Return an answer as Google sends it: no ETag, no rate-limit headers."""
    headers = {"Content-Type": JSON_TYPE, "Cache-Control": "private", "Server": "ESF"}
    if answer.retry_after is not None:
        headers["Retry-After"] = _header_number(answer.retry_after)
    return web.Response(status=answer.status, body=answer.body, headers=headers)


async def broken(
    request: web.BaseRequest, entry: LoggedRequest, answer: Answer | None, fault: Fault
) -> web.StreamResponse | None:
    """Do what the fault orders; None means that the connection was closed instead."""
    body = b"" if answer is None else answer.body
    if fault.action in ("status", "apply_then_status"):
        return whole(ordered_error(entry, fault))
    if fault.action == "html":
        return web.Response(status=fault.status or 200, body=PROXY_PAGE, content_type="text/html")
    if fault.action == "redirect":
        return web.Response(status=fault.status or 307, headers={"Location": fault.location})
    if fault.action == "truncated" and answer is not None:
        return whole(Answer(status=answer.status, body=body[: len(body) // 2]))
    if fault.action == "drip":
        return await _dripped(request, body, fault.seconds or 0.0)
    if fault.action == "reset_body":
        await _started(request, body, body[: len(body) // 2])
    elif fault.action in ("hang", "apply_then_hang"):
        await (asyncio.sleep(fault.seconds) if fault.seconds else asyncio.Event().wait())
    if request.transport is not None:
        request.transport.close()
    return None


def ordered_error(entry: LoggedRequest, fault: Fault) -> Answer:
    """Return the error that a status fault asks for, in the endpoint's own envelope."""
    status = fault.status or 503
    message = fault.message or f"Emulated error {status}."
    if entry.kind == "token":
        error: dict[str, Any] = {
            "error": fault.reason or OAUTH_ERRORS_BY_STATUS.get(status, "temporarily_unavailable"),
            "error_description": message,
        }
        body = encode_compact(error).encode()
    else:
        body = envelope(status, message, reason=fault.reason, domain=fault.domain)
    return Answer(status=status, body=body, retry_after=fault.retry_after)


async def _started(request: web.BaseRequest, body: bytes, first: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": JSON_TYPE})
    response.content_length = len(body)
    await response.prepare(request)
    if first:
        await response.write(first)
    return response


async def _dripped(request: web.BaseRequest, body: bytes, seconds: float) -> web.StreamResponse:
    response = await _started(request, body, b"")
    for position in range(len(body)):
        await response.write(body[position : position + 1])
        await asyncio.sleep(seconds)
    return response


def _header_number(value: float | str) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
