"""All addresses that the app serves to the world, however they are nested."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.urls import URLPattern

from loyalty_wallet.webservice.urls import urlpatterns


def patterns(within: Iterable[Any]) -> Iterator[URLPattern]:
    for pattern in within:
        if isinstance(pattern, URLPattern):
            yield pattern
        else:
            yield from patterns(pattern.url_patterns)


PUBLIC = list(patterns(urlpatterns))
