"""Bodies from strangers: small, and JSON where that is asked for, or refused."""

from __future__ import annotations

import json
from http import HTTPStatus

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, UnreadablePostError


class BodyError(Exception):
    """A body that is refused with `status`."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = int(status)


def read_json(request: HttpRequest, *, most_bytes: int) -> object:
    """Return what the JSON of a body says. Raises BodyError for anything else, or for too much."""
    try:
        return json.loads(read_body(request, most_bytes=most_bytes))
    except (ValueError, RecursionError) as error:
        raise BodyError(HTTPStatus.BAD_REQUEST) from error


def read_body(request: HttpRequest, *, most_bytes: int) -> bytes:
    """Return a body as it came. Raises BodyError for too much."""
    try:
        size = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError as error:
        # Servers refuse it themselves; Django stumbles over it.
        raise BodyError(HTTPStatus.BAD_REQUEST) from error
    if size > most_bytes:
        raise BodyError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    try:
        body = request.body
    except RequestDataTooBig as error:
        raise BodyError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE) from error
    except UnreadablePostError as error:
        raise BodyError(HTTPStatus.BAD_REQUEST) from error
    if len(body) > most_bytes:
        raise BodyError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return body
