"""`wallet-status/`: the state of everything for monitors, as JSON without names, ids or paths.

Denied unless a member of the staff asks, or a request brings the token of the settings. An answer
takes five seconds at most, whatever the providers do.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from django.db import Error as DatabaseFailure
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.views.decorators.cache import cache_control
from django.views.decorators.csrf import csrf_exempt

from ..monitoring.as_json import status_as_dict
from ..monitoring.probes import run_probes
from ..monitoring.problems import Level
from ..monitoring.status import read_status
from ..sync.transactions import without_transaction
from .access import refusal

logger = logging.getLogger("loyalty_wallet.webservice")

PROBE_SECONDS = 4.0
"""What of the five seconds the providers may take."""
MAX_AGE_SECONDS = 60
"""Whoever asks more often gets what was found then."""


@csrf_exempt  # Nothing is changed here: a POST is told so, and not that it lacks a form's token.
@without_transaction
@cache_control(no_store=True)
def wallet_status(request: HttpRequest) -> HttpResponse:
    """Answer 200, or 503 when it is down. `?fast=1` asks the database alone."""
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(("GET", "HEAD"))
    if refused := refusal(request):
        return refused
    try:
        if request.GET.get("fast") not in ("1", "true"):
            run_probes(PROBE_SECONDS, max_age_seconds=MAX_AGE_SECONDS)
        status = read_status()
    except DatabaseFailure:
        logger.exception("The status could not be read.")
        content: dict[str, Any] = {"status": Level.DOWN, "problems": [{"code": "database"}]}
        return JsonResponse(content, status=HTTPStatus.SERVICE_UNAVAILABLE)
    is_down = status.level is Level.DOWN
    return JsonResponse(
        status_as_dict(status),
        status=HTTPStatus.SERVICE_UNAVAILABLE if is_down else HTTPStatus.OK,
    )
