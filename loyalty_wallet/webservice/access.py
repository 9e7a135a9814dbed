"""Who may ask how the sync is: the staff, and whoever brings the token of the settings."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare

from ..conf import SETTING, get_conf


def refusal(request: HttpRequest) -> HttpResponse | None:
    """Return the answer for who may not ask; nothing in it tells why."""
    if _has_token(request):
        return None
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return HttpResponse(status=HTTPStatus.UNAUTHORIZED, headers={"WWW-Authenticate": "Bearer"})
    return None if user.is_active and user.is_staff else HttpResponse(status=HTTPStatus.FORBIDDEN)


def _has_token(request: HttpRequest) -> bool:
    expected = _expected_token()
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    return (
        bool(expected)
        and scheme.lower() == "bearer"
        and constant_time_compare(given.strip(), expected)
    )


def _expected_token() -> str:
    try:
        return get_conf().status_token
    except ImproperlyConfigured:
        # Something else is wrong with the settings: just then monitors have to be told.
        setting = getattr(settings, SETTING, None)
        token = setting.get("STATUS_TOKEN") if isinstance(setting, Mapping) else None
        return token if isinstance(token, str) else ""
