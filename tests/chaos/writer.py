"""A till in a process of its own: `python -m tests.chaos.writer TIMES` earns a point per card."""

from __future__ import annotations

import sys

import django


def main(times: int) -> None:
    django.setup()
    from loyalty_wallet.models import LoyaltyCard

    for _ in range(times):
        for card in LoyaltyCard.objects.order_by("pk"):
            card.record("earn", points=1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
