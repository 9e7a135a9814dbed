"""Where Google tells us that a customer has saved or removed a card.

Google takes any 2xx for "received" and repeats everything else. Source: Google Wallet API, "Use
callbacks for saves and deletions".
"""

from __future__ import annotations

import logging
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse

from ..exceptions import DeliveryError, ForgedCallbackError
from . import callbacks
from .bodies import read_body
from .endpoints import endpoint, later

logger = logging.getLogger("loyalty_wallet.webservice")

MOST_BYTES = 16_384
"""Ten times what Google sends."""
RETRY_AFTER_SECONDS = 60


@endpoint("POST")
def callback(request: HttpRequest) -> HttpResponse:
    """A customer has saved or removed a card."""
    try:
        callbacks.record(callbacks.verified(read_body(request, most_bytes=MOST_BYTES)))
    except ForgedCallbackError as error:
        logger.warning("A callback was refused: %s", error)
        return HttpResponse(status=HTTPStatus.BAD_REQUEST)
    except DeliveryError as error:
        # Not to be told from a forgery without Google's keys: nothing is taken, nothing lost.
        logger.error("A callback could not be verified: %s: %s", error.code, error.message)  # noqa: TRY400
        return later(RETRY_AFTER_SECONDS)
    return HttpResponse()
