"""Transactions that meet others on their way: workers, tills, and phones, which come in crowds.

A deadlock is nobody's fault, nor is a row that another inserts or deletes between our look and our
write.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from django.db import IntegrityError, OperationalError, connections, router, transaction

from ..exceptions import SyncInTransactionError
from ..models import WalletPass

TRIES = 10
MOST_PAUSE_SECONDS = 0.05
CROWDED = (OperationalError, IntegrityError)
"""What the same work may not meet a moment later."""

R = TypeVar("R")
View = TypeVar("View", bound=Callable[..., Any])


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
        time.sleep(random.uniform(0, MOST_PAUSE_SECONDS))  # noqa: S311 (chance, not a secret)  # nosec B311


@contextmanager
def committed_at_its_end(using: str) -> Iterator[None]:
    """A transaction whose end all others see. Raises SyncInTransactionError within another one."""
    with ExitStack() as stack:
        try:
            stack.enter_context(transaction.atomic(using=using, durable=True))
        except RuntimeError as error:
            raise SyncInTransactionError(
                "A sync cannot be made within a transaction: what is not committed must not be "
                "sent. Call it after the commit, as with transaction.on_commit(); where "
                "ATOMIC_REQUESTS is on, decorate the view with transaction.non_atomic_requests."
            ) from error
        yield


def without_transaction(view: View) -> View:
    """Keep ATOMIC_REQUESTS from putting a transaction around a view, on any database."""
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view


@contextmanager
def transactions_of_a_request() -> Iterator[None]:
    """Those that ATOMIC_REQUESTS would have put around a view that goes without them."""
    with ExitStack() as stack:
        for alias in connections:
            if connections.settings[alias]["ATOMIC_REQUESTS"]:
                stack.enter_context(transaction.atomic(using=alias))
        yield
