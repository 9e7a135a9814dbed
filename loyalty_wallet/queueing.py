"""Waking a Celery worker, where there is Celery and a broker; the work itself is in the tables."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

from django.db import router, transaction
from django.utils import timezone

from . import signals
from .models import SyncRun, WalletPass

logger = logging.getLogger("loyalty_wallet.queueing")

SYNC_CARD = "loyalty.sync_card"
DRAIN_RUN = "loyalty.drain_run"
MOST_MESSAGES = 100
"""Cards of one change that are pushed in real time; an import of more is left to the next run."""
REST_SECONDS = 30
"""How long no message is tried after the broker has refused one: no request waits for it twice."""
PING_SECONDS = 1.0
"""How long workers are given to answer; a page that asks waits no longer, whatever the broker does."""
REMEMBERED_SECONDS = 5
"""How long what workers answered is taken for true."""

_broker_is_down_until = 0.0
_last_ping: tuple[str, float, bool] | None = None
"""The broker that was asked, when, and whether a worker answered."""


def connect() -> None:
    """Let touched passes wake a worker after the commit."""
    signals.passes_touched.connect(_wake_for_cards, dispatch_uid="loyalty_wallet.wake_for_cards")


def has_broker() -> bool:
    """Say whether a worker can be woken: Celery is installed and its app names a broker."""
    if find_spec("celery") is None:
        return False
    from celery import current_app

    return bool(current_app.conf.broker_url)


def has_live_worker() -> bool:
    """Say whether a Celery worker answers within a second; the answer holds for a few seconds.

    False also when there is no broker, or when it does not answer.
    """
    if not has_broker():
        return False
    from celery import current_app

    global _last_ping
    broker = str(current_app.conf.broker_url)
    now = time.monotonic()
    if _last_ping is None or _last_ping[0] != broker or now > _last_ping[1] + REMEMBERED_SECONDS:
        _last_ping = (broker, now, _ping())
    return _last_ping[2]


def enqueue_run(run: SyncRun) -> None:
    """Have a worker carry out a queued run, once the transaction that made it is committed.

    A broker that does not take it leaves a failed run on record; its passes stay due. Raises
    RuntimeError when there is no broker.
    """
    if not has_broker():
        raise RuntimeError(
            "Celery has no broker: set REDIS_URL, or run manage.py sync_wallet_passes."
        )
    _after_commit(partial(_send_run, run.pk))


def wake_workers(run: SyncRun, count: int) -> None:
    """Ask `count` more workers to help with a run that is going."""
    for _ in range(count if has_broker() else 0):
        _publish(DRAIN_RUN, run.pk)


def _ping() -> bool:
    answers: list[Any] = []

    def ask() -> None:
        from celery import current_app

        try:
            with current_app.connection_for_write(connect_timeout=PING_SECONDS) as connection:
                answers.extend(
                    current_app.control.ping(
                        timeout=PING_SECONDS * 0.9, limit=1, connection=connection
                    )
                    or ()
                )
        except Exception as error:
            logger.warning("The workers could not be asked: %s.", type(error).__name__)

    # Not every transport has a time limit of its own for each step: a thread can be left behind.
    thread = threading.Thread(target=ask, daemon=True, name="loyalty-wallet-ping")
    thread.start()
    thread.join(PING_SECONDS)
    return bool(answers)


def _wake_for_cards(*, card_keys: list[str], **_: Any) -> None:
    if 0 < len(card_keys) <= MOST_MESSAGES and has_broker():
        _after_commit(partial(_send_cards, card_keys))


def _send_cards(card_keys: list[str]) -> None:
    for key in card_keys:
        if not _publish(SYNC_CARD, key):
            return


def _send_run(run_id: int) -> None:
    if not _publish(DRAIN_RUN, run_id, always=True):
        now = timezone.now()
        SyncRun.objects.filter(pk=run_id, status=SyncRun.Status.QUEUED).update(
            status=SyncRun.Status.FAILED,
            started_at=now,
            finished_at=now,
            error="The broker did not take the run. Its passes stay due.",
        )


def _publish(task: str, argument: int | str, *, always: bool = False) -> bool:
    """Send one message; a broker that is down costs a log line and then a rest."""
    from celery import current_app

    global _broker_is_down_until
    if not always and time.monotonic() < _broker_is_down_until:
        return False
    try:
        # Nobody reads a result: to wait for one, this process would have to subscribe to it.
        current_app.send_task(task, args=(argument,), retry=False, ignore_result=True)
    except Exception:
        _broker_is_down_until = time.monotonic() + REST_SECONDS
        logger.exception("The broker took no message; what is due waits for the next run.")
        return False
    _broker_is_down_until = 0.0
    return True


def _after_commit(send: Callable[[], None]) -> None:
    transaction.on_commit(send, using=router.db_for_write(WalletPass), robust=True)
