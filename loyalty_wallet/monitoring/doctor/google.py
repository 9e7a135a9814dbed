"""Google without the network: whose key it is, and what nobody but the operator can see to."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext as _

from ...wallets.google import GoogleWallet
from ...wallets.google.wallet import API_URL
from ..setups import usable_wallets
from .findings import Finding, Grade

PUBLISHED_LIMIT = 20
"""Requests per second (Wallet FAQ)."""


def google_wallets() -> dict[str, GoogleWallet]:
    wallets = usable_wallets().items()
    return {alias: wallet for alias, wallet in wallets if isinstance(wallet, GoogleWallet)}


def account_of(wallet: GoogleWallet) -> str:
    """Return the e-mail that has to be invited in the console."""
    return str(wallet.account.load().service_account_email)


def examine_google() -> Iterator[Finding]:
    for alias, wallet in google_wallets().items():
        yield Finding(
            code="google_key",
            grade=Grade.GOOD,
            wallet=alias,
            text=_("The key of %(account)s is readable, for issuer %(issuer)s.")
            % {"account": account_of(wallet), "issuer": wallet.issuer_id},
        )
        yield Finding(
            code="google_demo_mode",
            grade=Grade.NOTE,
            wallet=alias,
            text=_(
                "Whether the issuer is in demo mode only the console tells: if cards show "
                "[TEST ONLY], request publishing access there."
            ),
            fix="https://pay.google.com/business/console",
        )
        yield from _limit(alias, wallet)
        if not wallet.callback_url:
            yield Finding(
                code="google_callback",
                grade=Grade.NOTE,
                wallet=alias,
                text=_("Google does not tell us when customers save or remove cards."),
                fix=_("Set callback_url to the address of google/callback/."),
            )


def _limit(alias: str, wallet: GoogleWallet) -> Iterator[Finding]:
    rate = wallet.requests_per_second
    if wallet.api_url == API_URL and (rate is None or rate > PUBLISHED_LIMIT):
        yield Finding(
            code="google_rate",
            grade=Grade.WARNING,
            wallet=alias,
            text=_("requests_per_second is %(rate)s; Google publishes a limit of %(limit)d.")
            % {"rate": rate, "limit": PUBLISHED_LIMIT},
            fix=_("Set it to 20, unless Google has granted you more."),
        )
