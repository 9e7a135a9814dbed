"""What all doors for phones and providers have in common: no cookies, few methods, never a 500."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Concatenate, ParamSpec

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.views.decorators.csrf import csrf_exempt

from ..sync.transactions import CROWDED, without_transaction
from .bodies import BodyError

logger = logging.getLogger("loyalty_wallet.webservice")

RETRY_AFTER_SECONDS = 300

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]


def endpoint(*methods: str) -> Callable[[View[P]], View[P]]:
    """Let callers in who bring no cookies, refuse other methods, and answer trouble with "later"."""

    def decorate(view: View[P]) -> View[P]:
        @csrf_exempt
        @without_transaction
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            if request.method not in methods:
                return HttpResponseNotAllowed(methods)
            try:
                response = view(request, *args, **kwargs)
            except BodyError as error:
                response = HttpResponse(status=error.status)
            except CROWDED:
                logger.exception("The database did not serve %s.", view.__name__)
                response = later()
            response["Cache-Control"] = "no-store"
            if response.status_code >= HTTPStatus.BAD_REQUEST:
                # Django would log the address as well: a device's own name is in it, which opens
                # the list of its passes.
                logger.warning("%s: %s", response.reason_phrase, view.__name__)
                response._has_been_logged = True  # type: ignore[attr-defined]  # noqa: SLF001
            return response

        return guarded

    return decorate


def later(seconds: int = RETRY_AFTER_SECONDS) -> HttpResponse:
    """Ask the caller to come again."""
    return HttpResponse(
        status=HTTPStatus.SERVICE_UNAVAILABLE, headers={"Retry-After": str(seconds)}
    )
