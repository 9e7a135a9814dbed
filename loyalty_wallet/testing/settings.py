"""Settings whose wallets talk to emulators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings as django_settings
from django.utils.module_loading import import_string

from ..conf import SETTING
from ..wallets.base import Wallet

AT_ONCE = (0, 0, 0)
"""As many attempts as in production, without the pauses between them."""


def with_options(
    kind: type[Wallet], options: Mapping[str, Any], *, default_alias: str
) -> dict[str, Any]:
    """Return the present settings with these OPTIONS in each wallet of a kind.

    A wallet is added when none is of that kind. What a wallet has of its own (images, messages)
    stays. Runs neither pause between attempts nor share their rate limit.
    """
    present: dict[str, Any] = getattr(django_settings, SETTING, {})
    wallets: dict[str, Any] = dict(present.get("WALLETS", {}))
    ours = [alias for alias, wallet in wallets.items() if _is_of(wallet["BACKEND"], kind)]
    for alias in ours or [default_alias]:
        before = wallets.get(alias) or {"BACKEND": f"{kind.__module__}.{kind.__qualname__}"}
        wallets[alias] = {**before, "OPTIONS": {**before.get("OPTIONS", {}), **options}}
    return {
        **present,
        "WALLETS": wallets,
        "RETRY_DELAYS": AT_ONCE,
        "RATE_LIMIT_REDIS_URL": "",
    }


def _is_of(backend: str, kind: type[Wallet]) -> bool:
    found = import_string(backend)
    return isinstance(found, type) and issubclass(found, kind)
