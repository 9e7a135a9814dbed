"""Transactions that meet others on their way: workers, tills, and phones, which come in crowds.

A deadlock is nobody's fault, nor is a row that another inserts or deletes between our look and our
write.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import IntegrityError, OperationalError, router, transaction

from ..models import WalletPass

TRIES = 10
MOST_PAUSE_SECONDS = 0.05
CROWDED = (OperationalError, IntegrityError)
"""What the same work may not meet a moment later."""

R = TypeVar("R")


def in_transaction(work: Callable[[], R]) -> R:
    """Do some work in a transaction, again from its beginning when the database asks for that.

    The work must not mind: what it leaves in memory is made anew. Raises one of `CROWDED` when it still fails after a few tries.
    """
    using = router.db_for_write(WalletPass)
    tries_left = TRIES
    while True:
        tries_left -= 1
        try:
            with transaction.atomic(using=using):
                return work()
        except CROWDED:
            # A transaction around ours is not ours to begin again.
            if not tries_left or transaction.get_connection(using).in_atomic_block:
                raise
        time.sleep(random.uniform(0, MOST_PAUSE_SECONDS))  # noqa: S311 (chance, not a secret)
