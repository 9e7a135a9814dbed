"""Cards that changed too long ago for a run to look at them."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from loyalty_wallet.models import LoyaltyCard, LoyaltyTransaction


def forget_the_window() -> None:
    """Move all cards and transactions out of the window that discovery looks at."""
    long_ago = timezone.now() - timedelta(days=30)
    LoyaltyCard.objects.update(updated_at=long_ago)
    LoyaltyTransaction.objects.update(created_at=long_ago)
