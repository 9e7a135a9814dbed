"""`wallet-metrics/`: the state of everything for Prometheus, to whoever may read `wallet-status/`."""

from __future__ import annotations

import logging
from http import HTTPStatus
from importlib.util import find_spec

from django.db import Error as DatabaseFailure
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.views.decorators.cache import cache_control
from django.views.decorators.csrf import csrf_exempt

from ..sync.transactions import without_transaction
from .access import refusal

logger = logging.getLogger("loyalty_wallet.webservice")


@csrf_exempt  # Nothing is changed here.
@without_transaction
@cache_control(no_store=True)
def wallet_metrics(request: HttpRequest) -> HttpResponse:
    """Answer in the format that the scraper asks for; 404 where its library is not installed."""
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(("GET", "HEAD"))
    if refused := refusal(request):
        return refused
    if find_spec("prometheus_client") is None:
        return _say(HTTPStatus.NOT_FOUND, "Install loyalty-wallet[prometheus] to serve metrics.")
    from prometheus_client.exposition import choose_encoder

    from ..monitoring.metrics import wallet_registry

    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    try:
        return HttpResponse(encode(wallet_registry()), content_type=content_type)
    except DatabaseFailure:
        logger.exception("The metrics could not be read.")
        return _say(HTTPStatus.SERVICE_UNAVAILABLE, "The database does not answer.")


def _say(status: HTTPStatus, text: str) -> HttpResponse:
    return HttpResponse(f"{text}\n", status=status, content_type="text/plain; charset=utf-8")
