"""Our own web service as phones and Google meet it: by its public URL, through every proxy."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit
from urllib.robotparser import RobotFileParser

import requests
from django.utils.translation import gettext as _

from ...wallets.apple import AppleWallet
from .findings import Finding, Grade

TIMEOUT_SECONDS = 5
MARKER = "invalid_token"
"""What the web service says of a token that has arrived and is wrong."""


def look_at_web_service(alias: str, wallet: AppleWallet) -> Finding:
    """Ask for a pass that does not exist with a token that is none: what comes back tells."""
    url = f"{wallet.web_service_url}/v1/passes/{wallet.pass_type_identifier}/{secrets.token_hex(8)}"
    token = secrets.token_urlsafe(32)
    try:
        answer = _get(url, headers={"Authorization": f"ApplePass {token}"})
    except requests.RequestException as error:
        text, fix = _unreachable(error)
    else:
        asks_for = answer.headers.get("WWW-Authenticate", "")
        if answer.status_code == HTTPStatus.UNAUTHORIZED and MARKER in asks_for:
            return Finding(
                code="web_service",
                grade=Grade.GOOD,
                wallet=alias,
                text=_("The web service answers at its public URL, and sees the tokens of phones."),
            )
        if answer.status_code == HTTPStatus.UNAUTHORIZED and asks_for.startswith("ApplePass"):
            text = _("The Authorization header of phones does not arrive: a proxy takes it away.")
            fix = _(
                "nginx: proxy_set_header Authorization $http_authorization; "
                "Apache: WSGIPassAuthorization On"
            )
        else:
            text, fix = _foreign(answer)
    return Finding(code="web_service", grade=Grade.ERROR, wallet=alias, text=text, fix=fix)


def look_at_callback(alias: str, url: str) -> Iterator[Finding]:
    """See that Google may come (robots.txt), and that what it finds is ours."""
    try:
        robots = _get(urljoin(url, "/robots.txt"))
        answer = _get(url)
    except requests.RequestException as error:
        text, fix = _unreachable(error)
        yield Finding(code="callback", grade=Grade.ERROR, wallet=alias, text=text, fix=fix)
        return
    rules = RobotFileParser()
    rules.parse(robots.text.splitlines() if robots.ok else [])
    if not rules.can_fetch("Googlebot", url):
        yield Finding(
            code="robots",
            grade=Grade.ERROR,
            wallet=alias,
            text=_("robots.txt forbids Googlebot the callback: Google will not call it."),
            fix=_("Add to robots.txt, for User-agent Googlebot: Allow: %(path)s")
            % {"path": urlsplit(url).path},
        )
    elif answer.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        # It takes POST alone, which is how we know it.
        yield Finding(
            code="callback",
            grade=Grade.GOOD,
            wallet=alias,
            text=_("The callback answers at its public URL, and Google may call it."),
        )
    else:
        text, fix = _foreign(answer)
        yield Finding(code="callback", grade=Grade.ERROR, wallet=alias, text=text, fix=fix)


def _get(url: str, headers: dict[str, str] | None = None) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(
            url, headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False, stream=False
        )


def _unreachable(error: requests.RequestException) -> tuple[str, str]:
    if isinstance(error, requests.exceptions.SSLError):
        return (
            _("The public URL has no certificate that phones would accept."),
            _("Renew it, and let the web server send the intermediate certificates, too."),
        )
    return (
        _("The public URL cannot be reached from here (%(error)s).")
        % {"error": type(error).__name__},
        _("Check DNS, firewall and web server; or look from another network."),
    )


def _foreign(answer: requests.Response) -> tuple[str, str]:
    """Return what it means that somebody else than our web service has answered."""
    status = answer.status_code
    if answer.is_redirect:
        return (
            _("The public URL leads elsewhere (%(status)d), and phones do not follow.")
            % {"status": status},
            _("Write the URL in the settings as it is at the end of the redirects."),
        )
    if status == HTTPStatus.BAD_REQUEST:
        return (
            _("The public URL answers 400: Django does not know this host."),
            _("Add it to ALLOWED_HOSTS (DJANGO_ALLOWED_HOSTS)."),
        )
    if status == HTTPStatus.NOT_FOUND:
        return (
            _("Nothing of ours is at the public URL (404)."),
            'path("wallet/", include("loyalty_wallet.webservice.urls"))',
        )
    return (
        _("Somebody else answers at the public URL, with %(status)d.") % {"status": status},
        _("Leave its path open in the proxy: without a login, a cache or a page of its own."),
    )
