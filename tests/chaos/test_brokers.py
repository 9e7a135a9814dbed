"""Messages that come twice, and a broker that takes connections but answers nothing."""

from __future__ import annotations

import os
import signal
import sys

import pytest
from celery import Celery

from loyalty_wallet.models import LoyaltyTransaction, SyncRun, WalletPass
from tests.servers import RedisServer

from .invariants import check_invariants
from .processes import HeldRequests, wait_for
from .world import PATIENT, World

pytestmark = pytest.mark.chaos


def test_a_message_that_comes_again_makes_no_second_writer(world: World) -> None:
    """Case 35: the broker takes a running task for lost: the copy waits, and has nothing to send."""
    world.seed(10)
    world.sell()
    held = HeldRequests(world.google, at_least=5)
    impatient = {**PATIENT, "CHAOS_VISIBILITY_TIMEOUT": "3"}
    workers = [world.start_celery(environment=impatient, level="INFO") for _ in range(2)]
    with Celery("scheduler", broker=world.redis_url, set_as_current=False) as sender:
        message = sender.send_task("loyalty.sync_wallet_passes").id
    held.wait()
    taken = f"[{message}] received"
    wait_for(lambda: sum(worker.log.count(taken) for worker in workers) >= 2)
    assert held.count <= 10
    held.release()
    wait_for(lambda: world.due() == 0)
    wait_for(lambda: SyncRun.objects.filter(status="succeeded").count() >= 2)
    world.end()

    assert world.google.max_in_flight_per_object == 1
    assert len(world.google.object_requests) == 10
    SyncRun.objects.filter(finished_at=None).delete()  # A third copy may just have begun.
    check_invariants(world)


def test_a_broker_that_hangs_holds_no_customer_up(world: World, redis_server: RedisServer) -> None:
    """Case 34: it accepts connections and says nothing: the till goes on, the changes are due."""
    cards = world.seed(3)
    till = [sys.executable, "-m", "tests.chaos.writer", "2"]
    os.kill(redis_server.pid, signal.SIGSTOP)
    try:
        worker = world.launch(till, {"REDIS_URL": world.redis_url})
        assert worker.wait() == 0
    finally:
        os.kill(redis_server.pid, signal.SIGCONT)

    assert LoyaltyTransaction.objects.count() == 2 * len(cards)
    assert WalletPass.objects.due().count() == len(cards)
    assert worker.log.count("The broker took no message") == 1
    world.owed = len(cards)
    world.sync()
    check_invariants(world)
