"""How often one device or address may ask, counted in Django's cache."""

from __future__ import annotations

import hashlib
import logging
import time

from django.core.cache import cache

logger = logging.getLogger("loyalty_wallet.webservice")

MINUTE = 60


def is_within_limit(what: str, who: str, *, per_minute: int) -> bool:
    """Count one more request and say whether it may be answered.

    Each server process counts for itself unless Django's cache is shared. Where the cache is out
    of order nobody is turned away.
    """
    name = hashlib.sha256(who.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    key = f"loyalty_wallet:{what}:{name}:{int(time.time() // MINUTE)}"
    try:
        cache.add(key, 0, timeout=2 * MINUTE)
        return cache.incr(key) <= per_minute
    except Exception:
        # Including ValueError: the cache may drop the counter between the two calls.
        logger.warning("The cache cannot count requests.", exc_info=True)
        return True
