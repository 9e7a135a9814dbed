"""Apple without the network: the certificate, its chain and its names, and our web service."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from cryptography.x509.oid import NameOID
from django.urls import Resolver404, resolve
from django.utils import timezone
from django.utils.translation import gettext as _

from ...wallets.apple import AppleWallet
from ..setups import usable_wallets
from .findings import Finding, Grade


def apple_wallets() -> dict[str, AppleWallet]:
    wallets = usable_wallets().items()
    return {alias: wallet for alias, wallet in wallets if isinstance(wallet, AppleWallet)}


def examine_apple() -> Iterator[Finding]:
    for alias, wallet in apple_wallets().items():
        identity = wallet.certificates.load()
        units = identity.wwdr.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
        yield Finding(
            code="apple_certificate",
            grade=Grade.GOOD,
            wallet=alias,
            text=_(
                "The certificate is for %(pass_type)s and team %(team)s, has its key, was issued "
                "by WWDR %(generation)s, and lasts %(days)d more days."
            )
            % {
                "pass_type": wallet.pass_type_identifier,
                "team": wallet.team_identifier,
                "generation": str(units[0].value) if units else "?",
                "days": (identity.expires_at - timezone.now()).days,
            },
        )
        yield from _mounted(alias, wallet)


def _mounted(alias: str, wallet: AppleWallet) -> Iterator[Finding]:
    """Look whether this project serves what the passes tell phones to ask."""
    path = urlsplit(wallet.web_service_url).path
    try:
        is_ours = resolve(f"{path}/v1/log").url_name == "apple_log"
    except Resolver404:
        is_ours = False
    if is_ours:
        yield Finding(
            code="apple_web_service",
            grade=Grade.GOOD,
            wallet=alias,
            text=_("The web service is mounted where web_service_url says: %(path)s.")
            % {"path": path or "/"},
        )
    else:
        yield Finding(
            code="apple_web_service",
            grade=Grade.WARNING,
            wallet=alias,
            text=_("No URL of this project is %(path)s/v1/..., where phones will ask.")
            % {"path": path},
            fix=_(
                'In urls.py: path("wallet/", include("loyalty_wallet.webservice.urls")); '
                "web_service_url then ends in /wallet/apple. A proxy that cuts the path is fine."
            ),
        )
