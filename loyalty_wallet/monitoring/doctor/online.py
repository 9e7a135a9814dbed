"""What only the network can tell: providers, our own public face, workers and Redis."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext as _

from ...conf import get_conf
from ...exceptions import ForbiddenError, UnauthorizedError, failure_classes
from ...models import WalletProbe
from ...queueing import has_broker, has_live_worker
from ..probes import run_probes
from .apple import apple_wallets
from .findings import Finding, Grade
from .google import account_of, google_wallets
from .web import look_at_callback, look_at_web_service

PROBE_SECONDS = 10.0


def examine_providers() -> Iterator[Finding]:
    for alias, probe in run_probes(PROBE_SECONDS).items():
        if probe.code or not (probe.is_reachable and probe.is_authorised is not False):
            yield Finding(
                code=probe.code or "unknown",
                grade=Grade.ERROR,
                wallet=alias,
                text=probe.message or _("Nothing could be found out."),
                fix=_fix(alias, probe.code),
            )
        else:
            yield Finding(
                code="provider",
                grade=Grade.GOOD,
                wallet=alias,
                text=_("The provider answers, and lets us in."),
            )
        yield from _publishing(alias, probe)


def examine_web_service() -> Iterator[Finding]:
    for alias, wallet in apple_wallets().items():
        yield look_at_web_service(alias, wallet)


def examine_callback() -> Iterator[Finding]:
    for alias, wallet in google_wallets().items():
        if wallet.callback_url:
            yield from look_at_callback(alias, wallet.callback_url)


def examine_worker() -> Iterator[Finding]:
    if not has_broker():
        return
    if has_live_worker():
        yield Finding(code="worker", grade=Grade.GOOD, text=_("A worker answers."))
    else:
        yield Finding(
            code="worker",
            grade=Grade.ERROR,
            text=_("No worker answers: changes and scheduled runs wait."),
            fix="celery -A yourproject worker",
        )


def examine_redis() -> Iterator[Finding]:
    url = get_conf().rate_limit_redis_url
    if not url:
        return
    import redis

    try:
        redis.Redis.from_url(url, socket_connect_timeout=2, socket_timeout=2).ping()
    except redis.RedisError as error:
        yield Finding(
            code="limits_not_shared",
            grade=Grade.ERROR,
            text=_(
                "Redis cannot be reached (%(error)s): this machine books its requests in the "
                "database, and shares no limit with those that reach it."
            )
            % {"error": type(error).__name__},
            fix=_("Check RATE_LIMIT_REDIS_URL, and that Redis is running."),
        )
    else:
        yield Finding(code="redis", grade=Grade.GOOD, text=_("Redis books the requests."))


def _publishing(alias: str, probe: WalletProbe) -> Iterator[Finding]:
    if probe.publishing in ("draft", "rejected", "under_review"):
        yield Finding(
            code="not_published",
            grade=Grade.WARNING,
            wallet=alias,
            text=_("A program is %(state)s: customers cannot add its cards.")
            % {"state": probe.get_publishing_display()},
            fix=_("Look at its class: https://pay.google.com/business/console"),
        )


def _fix(alias: str, code: str) -> str:
    wallet = google_wallets().get(alias)
    if wallet is not None and code == ForbiddenError.code:
        return _(
            "Invite %(account)s as a Developer for issuer %(issuer)s at "
            "https://pay.google.com/business/console (Users), and enable the Google Wallet API "
            "in the account's Cloud project."
        ) % {"account": account_of(wallet), "issuer": wallet.issuer_id}
    if wallet is not None and code == UnauthorizedError.code:
        return _("Create a new key for %(account)s, and put it in place of the file.") % {
            "account": account_of(wallet)
        }
    failure = failure_classes().get(code)
    return _(failure.remedy) if failure else ""
