"""The customer's own page of a card, the link to Google Wallet and the pass for Apple Wallet.

Whoever holds the signed link sees the card, as with the card itself. Nothing here asks for a
login, sets a cookie, or is kept by a browser or a search engine.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from http import HTTPStatus
from typing import Concatenate, ParamSpec

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_exempt

from .. import adding
from ..exceptions import AddToWalletError, DeliveryError, LinkError
from ..sync.transactions import CROWDED, without_transaction
from ..wallets.apple.pkpass import CONTENT_TYPE
from .archives import archive_of
from .buttons import buttons_for
from .codes import qr_code
from .faces import drawn_faces
from .limits import is_within_limit
from .phones import Phone, is_ahead_of_time, is_robot, phone_of

logger = logging.getLogger("loyalty_wallet.webservice")

RETRY_AFTER_SECONDS = 60
PER_MINUTE = 20
"""How often one card may be added: each time may cost requests to its provider."""

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why somebody does not get what the link promises, in the words of the page."""

    status: HTTPStatus
    title: Promise
    text: Promise
    may_try_again: bool = False


_LATER = Problem(
    status=HTTPStatus.SERVICE_UNAVAILABLE,
    title=_("Not just now"),
    text=_("Your card cannot be added at this moment. Please try again in a minute."),
    may_try_again=True,
)
_TOO_OFTEN = Problem(
    status=HTTPStatus.TOO_MANY_REQUESTS,
    title=_("One moment, please"),
    text=_("This card was asked for many times just now. Please try again in a minute."),
    may_try_again=True,
)
_UNKNOWN = Problem(
    status=HTTPStatus.NOT_FOUND,
    title=_("This link does not work"),
    text=_("It may not have been copied whole. Please open it again from where you got it."),
)
_EXPIRED = Problem(
    status=HTTPStatus.GONE,
    title=_("This link has expired"),
    text=_("Please ask for a new one where you got it."),
)
_INACTIVE = Problem(
    status=HTTPStatus.GONE,
    title=_("This card is no longer in use"),
    text=_("Please ask where you got it if you think that it should be."),
)
_NO_WALLET = Problem(
    status=HTTPStatus.NOT_FOUND,
    title=_("This card is not for phones"),
    text=_("It cannot be added to this wallet. Please use it as you have it."),
)
_REFUSALS = {
    "unknown_card": _UNKNOWN,
    "inactive": _INACTIVE,
    "expired": _INACTIVE,
    # As if there had never been such a card.
    "erased": _UNKNOWN,
    "no_wallet": _NO_WALLET,
}


class TooOftenError(Exception):
    """A card was asked for more often than a person would."""


def _for_customers(view: View[P]) -> View[P]:
    """Answer people: with a page in words whatever goes wrong, and nothing that is kept."""

    # Deliveries have transactions of their own, which a provider's silence must not hold open.
    @without_transaction
    @csrf_exempt
    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            response: HttpResponse = HttpResponseNotAllowed(("GET", "HEAD"))
        else:
            try:
                response = view(request, *args, **kwargs)
            except LinkError as error:
                response = _explain(request, _EXPIRED if error.is_expired else _UNKNOWN)
            except TooOftenError:
                response = _explain(request, _TOO_OFTEN)
            except AddToWalletError as error:
                response = _refused(request, error)
            except DeliveryError as error:
                logger.warning("A card cannot be added: %s: %s", error.code, error.message)
                response = _explain(request, _LATER)
            except CROWDED:
                logger.exception("The database did not serve a customer.")
                response = _explain(request, _LATER)
        response["Cache-Control"] = "no-store"
        response["Referrer-Policy"] = "no-referrer"
        response["X-Robots-Tag"] = "noindex, nofollow"
        # Django would log the address of what is not well, and mail it to the admins. It opens the
        # card; what is worth knowing has been logged without it.
        response._has_been_logged = True  # type: ignore[attr-defined]  # noqa: SLF001
        return response

    return guarded


@_for_customers
def card_page(request: HttpRequest, signed: str) -> HttpResponse:
    """The card as each wallet shows it, and the buttons that add it. Changes nothing."""
    card = adding.find_card(adding.read_link(signed))
    phone = phone_of(request)
    buttons = buttons_for(card, signed, phone)
    if not buttons:
        raise AddToWalletError("The card's program names no wallet.", code="no_wallet")
    faces = drawn_faces(card)
    if not faces:
        raise AddToWalletError("No wallet can show the card.", code="invalid_card")
    offers = [(button, faces[button.kind]) for button in buttons if button.kind in faces]
    address = request.build_absolute_uri(reverse("loyalty_wallet:card_page", args=[signed]))
    context = {
        "card": card,
        "offers": offers,
        "phone": phone,
        "page_code": qr_code(address) if phone is Phone.NONE else "",
    }
    return render(request, "loyalty_wallet/card_page.html", context)


@_for_customers
def add_to_google(request: HttpRequest, signed: str) -> HttpResponse:
    """Insert the card's object at Google if it is not there yet, and go on to Google's own page.

    Not until somebody presses the button: an object at Google can never be deleted again.
    """
    card_key = adding.read_link(signed)
    if is_ahead_of_time(request):
        # No page to show before it is asked for: the browser comes again when it is.
        return HttpResponse(status=HTTPStatus.SERVICE_UNAVAILABLE)
    if request.method == "HEAD" or is_robot(request):
        adding.find_card(card_key)
        return HttpResponseRedirect(reverse("loyalty_wallet:card_page", args=[signed]))
    _refuse_haste(card_key)
    return HttpResponseRedirect(adding.save_link(card_key))


@_for_customers
def download(request: HttpRequest, signed: str) -> HttpResponse:
    """The card's `.pkpass` in its present version, made when it is asked for."""
    card_key = adding.read_link(signed)
    if request.method == "HEAD" or is_ahead_of_time(request):
        card = adding.find_card(card_key)
        if adding.apple_wallet_of(card) is None:
            raise AddToWalletError("The card's program names no Apple wallet.", code="no_wallet")
        return HttpResponse(content_type=CONTENT_TYPE)
    _refuse_haste(card_key)
    response = HttpResponse(archive_of(adding.current_version(card_key)), content_type=CONTENT_TYPE)
    response["Content-Disposition"] = 'attachment; filename="card.pkpass"'
    return response


def _refuse_haste(card_key: str) -> None:
    if not is_within_limit("added", card_key, per_minute=PER_MINUTE):
        raise TooOftenError


def _refused(request: HttpRequest, error: AddToWalletError) -> HttpResponse:
    problem = _REFUSALS.get(error.code, _LATER)
    if problem is _LATER:
        logger.warning("A card cannot be added: %s: %s", error.code, error)
    return _explain(request, problem)


def _explain(request: HttpRequest, problem: Problem) -> HttpResponse:
    context = {"problem": problem, "address": request.path}
    template = "loyalty_wallet/card_problem.html"
    response = render(request, template, context, status=problem.status)
    if problem.may_try_again:
        response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response
