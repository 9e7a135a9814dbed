"""The kill matrix: everything that can die, at every moment at which it can hurt."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from django.db import connection

from loyalty_wallet.models import SyncRun
from tests.servers import RedisServer, Server

from .conftest import BOTH, MARIADB
from .invariants import check_invariants
from .processes import Failpoint, HeldRequests, Worker, wait_for
from .world import HTTP, World

CARDS = 12
LONGER_THAN_THE_LEASES_SECONDS = 7
POINTS = ("before_claim", "after_claim", HTTP, "after_http", "during_commit", "closing_run")

pytestmark = pytest.mark.chaos

Trap = Failpoint | HeldRequests
Catch = Callable[..., tuple[Trap, Worker]]


@pytest.fixture
def catch(world: World) -> Catch:
    """Start a worker on a shop with much to do, and catch it at a point."""

    def catch(point: str, *, start: Callable[..., Worker] | None = None) -> tuple[Trap, Worker]:
        world.seed(CARDS)
        world.sell()
        trap = world.trap(point)
        worker = (start or world.start)(environment=trap.environment)
        trap.wait()
        return trap, worker

    return catch


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_child_loses_nothing(world: World, catch: Catch, point: str) -> None:
    """kill -9 of the pool's child: its message comes back, waits for the leases and resumes the run."""
    world.send_task("loyalty.sync_wallet_passes")
    trap, worker = catch(point, start=world.start_celery)

    for child in worker.children:
        os.kill(child, signal.SIGKILL)
    trap.release()

    run = wait_for(lambda: SyncRun.objects.exclude(finished_at=None).first())
    assert (run.status, run.trigger, run.resumes) == ("succeeded", "schedule", 1)
    check_invariants(world)


@MARIADB
@pytest.mark.parametrize("point", POINTS)
def test_a_killed_command_loses_nothing(world: World, catch: Catch, point: str) -> None:
    """On MariaDB: the next run waits for the leases, resumes the same run and completes it."""
    trap, worker = catch(point)

    worker.kill()
    trap.release()
    world.sync()

    run = SyncRun.objects.get()
    assert (run.status, run.resumes) == ("succeeded", 1)
    check_invariants(world)


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_worker_tree_loses_nothing(world: World, catch: Catch, point: str) -> None:
    """The whole Celery worker dies with its children, as a machine does; the run is resumed."""
    world.send_task("loyalty.sync_wallet_passes")
    trap, worker = catch(point, start=world.start_celery)

    worker.kill_group()
    trap.release()
    world.sync()

    run = SyncRun.objects.get()
    assert (run.status, run.trigger, run.resumes) == ("succeeded", "schedule", 1)
    check_invariants(world)


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_redis_changes_nothing(
    world: World, catch: Catch, redis_server: RedisServer, point: str
) -> None:
    """A run whose requests are booked in Redis completes without it."""

    def start(environment: dict[str, str]) -> Worker:
        redis = {"REDIS_URL": world.redis_url}
        return world.start(environment=environment | redis, RATE_LIMIT_REDIS_URL=world.redis_url)

    trap, worker = catch(point, start=start)

    redis_server.kill()
    trap.release()

    assert worker.wait() == 0, worker.log
    assert SyncRun.objects.get().status == "succeeded"
    redis_server.start()
    world.sync()
    check_invariants(world)


@BOTH
@pytest.mark.parametrize("point", POINTS)
def test_a_killed_database_leaves_no_half_written_batch(
    world: World, catch: Catch, database_server: Server, point: str
) -> None:
    """The worker heals or says that it could not; the next run brings the rest up to date."""
    trap, worker = catch(point)

    database_server.kill()
    connection.close()
    database_server.start()
    trap.release()

    code = worker.wait()
    assert code != 0 or world.due() == 0, worker.log
    world.sync()
    check_invariants(world)


@pytest.mark.parametrize("point", POINTS)
def test_a_process_stopped_longer_than_its_lease_does_no_harm(
    world: World, catch: Catch, point: str
) -> None:
    """SIGSTOP, another worker takes over, SIGCONT: the first sends and records nothing more."""
    trap, worker = catch(point)

    worker.send(signal.SIGSTOP)
    if point == HTTP:
        trap.release()
    if point != "during_commit":
        # There the stopped process holds row locks, so that a sale would wait for it.
        world.sell()
    other = world.start("--wait")
    wait_until_over(other)
    trap.release()
    worker.send(signal.SIGCONT)

    worker.wait()
    assert other.wait() == 0, other.log
    world.sync()
    check_invariants(world)


def wait_until_over(worker: Worker) -> None:
    """Wait for the end of a worker, or until every lease of the stopped one has ended."""
    try:
        wait_for(lambda: not worker.is_running, seconds=LONGER_THAN_THE_LEASES_SECONDS)
    except AssertionError:
        assert worker.is_running
