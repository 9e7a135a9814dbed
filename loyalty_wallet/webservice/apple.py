"""Apple's web service: the five calls of a phone, and the status codes that it accepts.

A phone takes 200 and 201 for a registration, 200 for its end, 200 and 204 for a list, 200 and 304
for a pass, and retries everything else with growing pauses. Source: Apple, "Adding a Web Service
to Update Passes".
"""

from __future__ import annotations

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.http import http_date

from ..exceptions import DeliveryError
from ..models import WalletPass
from ..wallets.apple.pkpass import CONTENT_TYPE
from . import archives, complaints, registrations
from .bodies import read_json
from .devices import find_pass, is_identifier
from .endpoints import endpoint, later
from .limits import is_within_limit


@endpoint("POST", "DELETE")
def registration(
    request: HttpRequest, device: str, pass_type: str, serial_number: str
) -> HttpResponse:
    """A device wants to be told of a pass's changes, or no longer."""
    wallet_pass = find_pass(request, pass_type, serial_number)
    if wallet_pass is None or not is_identifier(device):
        return _unauthorized(request)
    if not is_within_limit("registrations", device, per_minute=60):
        return _too_many()
    if request.method == "DELETE":
        registrations.unregister(device, wallet_pass, pass_type)
        return HttpResponse()
    if wallet_pass.state == WalletPass.State.ERASED:
        # Whoever has it may still fetch what is void; no phone is remembered for it again.
        return _unauthorized(request)
    push_token = registrations.read_push_token(read_json(request, most_bytes=4096))
    outcome = registrations.register(device, wallet_pass, pass_type, push_token)
    if outcome is registrations.Outcome.TOO_MANY_DEVICES:
        return HttpResponse(status=HTTPStatus.FORBIDDEN)
    is_new = outcome is registrations.Outcome.NEW
    return HttpResponse(status=HTTPStatus.CREATED if is_new else HTTPStatus.OK)


@endpoint("GET")
def changed_passes(request: HttpRequest, device: str, pass_type: str) -> HttpResponse:
    """A device asks which of its passes have changed; that it knows its own name is its secret."""
    if not (is_identifier(device) and is_identifier(pass_type)):
        return HttpResponse(status=HTTPStatus.NO_CONTENT)
    if not is_within_limit("lists", device, per_minute=120):
        return _too_many()
    tag = registrations.read_tag(request.GET.get("passesUpdatedSince"))
    found = registrations.list_changed(device, pass_type, tag)
    if found is None:
        # A device that is unknown has nothing new either: an error would make it try again.
        return HttpResponse(status=HTTPStatus.NO_CONTENT)
    return JsonResponse({"serialNumbers": found.serial_numbers, "lastUpdated": str(found.tag)})


@endpoint("GET", "HEAD")
def download(request: HttpRequest, pass_type: str, serial_number: str) -> HttpResponse:
    """A phone fetches a pass, unless it has that version."""
    wallet_pass = find_pass(request, pass_type, serial_number)
    if wallet_pass is None:
        return _unauthorized(request)
    if wallet_pass.modified_at is None:
        # Not rendered yet: an honest "later" is what a phone retries.
        return later()
    # A phone sends back the very text that it got. Versions have seconds of their own.
    if request.headers.get("If-Modified-Since") == _stamp(wallet_pass):
        response = HttpResponse(status=HTTPStatus.NOT_MODIFIED)
    elif request.method == "HEAD":
        response = HttpResponse(content_type=CONTENT_TYPE)
    else:
        try:
            archive = archives.archive_of(archives.read_version(wallet_pass))
        except DeliveryError:
            return later()
        except WalletPass.DoesNotExist:
            return _unauthorized(request)
        response = HttpResponse(archive, content_type=CONTENT_TYPE)
        response["Content-Disposition"] = 'attachment; filename="card.pkpass"'
    response["Last-Modified"] = _stamp(wallet_pass)
    if request.method == "GET":
        registrations.note_fetch(wallet_pass)
    return response


@endpoint("POST")
def log(request: HttpRequest) -> HttpResponse:
    """A phone complains. Anybody may: nothing but counts follows from it."""
    if not is_within_limit("log", request.META.get("REMOTE_ADDR", ""), per_minute=60):
        return _too_many()
    complaints.record(complaints.read_lines(read_json(request, most_bytes=65_536)))
    return HttpResponse()


def _stamp(wallet_pass: WalletPass) -> str:
    """Return the name of the pass's version: its second, as HTTP writes it."""
    return http_date(wallet_pass.modified_at.timestamp()) if wallet_pass.modified_at else ""


def _unauthorized(request: HttpRequest) -> HttpResponse:
    """Refuse, in the same way whatever was wrong: nobody learns which passes exist.

    That a token has come at all is said, as for bearer tokens: it tells whether proxies pass it on.
    """
    asks_for = "ApplePass"
    if "Authorization" in request.headers:
        asks_for += ' error="invalid_token"'
    return HttpResponse(status=HTTPStatus.UNAUTHORIZED, headers={"WWW-Authenticate": asks_for})


def _too_many() -> HttpResponse:
    return HttpResponse(status=HTTPStatus.TOO_MANY_REQUESTS, headers={"Retry-After": "60"})
