"""Who may ask how the sync is: the staff, and whoever brings the token of the settings."""

from __future__ import annotations

from http import HTTPStatus

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare

from ..conf import get_conf


def refusal(request: HttpRequest) -> HttpResponse | None:
    """Return the answer for who may not ask; nothing in it tells why."""
    if _has_token(request):
        return None
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return HttpResponse(status=HTTPStatus.UNAUTHORIZED, headers={"WWW-Authenticate": "Bearer"})
    return None if user.is_active and user.is_staff else HttpResponse(status=HTTPStatus.FORBIDDEN)


def _has_token(request: HttpRequest) -> bool:
    try:
        expected = get_conf().status_token
    except ImproperlyConfigured:
        return False
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    return (
        bool(expected)
        and scheme.lower() == "bearer"
        and constant_time_compare(given.strip(), expected)
    )
