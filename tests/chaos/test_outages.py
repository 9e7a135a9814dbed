"""Redis and the database die under a run and come back."""

from __future__ import annotations

import pytest
from django.db import connection

from loyalty_wallet.models import SyncBatch, SyncRun
from tests.servers import RedisServer, Server

from .conftest import BOTH
from .invariants import check_invariants, count_completions
from .processes import HeldRequests, wait_for
from .world import World

pytestmark = pytest.mark.chaos


def test_redis_dies_during_a_scheduled_run(world: World, redis_server: RedisServer) -> None:
    """Case 33: the task goes on without its broker, and the worker takes the next one after it."""
    world.seed(20)
    world.sell()
    held = HeldRequests(world.google, at_least=5)
    world.send_task("loyalty.sync_wallet_passes")
    world.start_celery(RATE_LIMIT_REDIS_URL=world.redis_url)
    held.wait()
    redis_server.kill()
    held.release()
    run = wait_for(lambda: SyncRun.objects.exclude(finished_at=None).first())
    assert (run.status, run.card_counts["synced"]) == ("succeeded", 20)

    redis_server.start()
    world.sell()
    world.send_task("loyalty.sync_wallet_passes")
    wait_for(lambda: SyncRun.objects.filter(status="succeeded").count() == 2)
    check_invariants(world)


@BOTH
def test_the_database_restarts_during_a_run(world: World, database_server: Server) -> None:
    """Case 40: batches are whole or not there; the command says so; the next run heals."""
    world.seed(60)
    world.sell()
    world.google.set_latency(0.2)
    worker = world.start(environment={"CHAOS_WALLET_OPTIONS": '{"concurrency": 4}'})
    wait_for(lambda: SyncBatch.objects.exists())
    database_server.kill()
    connection.close()
    database_server.start()

    code = worker.wait()
    assert code != 0 or world.due() == 0, worker.log
    assert count_completions() == 60 - world.due()
    world.google.set_latency(0)
    world.sync()
    check_invariants(world)
