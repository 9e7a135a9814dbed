"""A run that was taken over belongs to the worker that took it."""

from __future__ import annotations

import signal

import pytest

from loyalty_wallet.models import SyncRun, SyncState
from loyalty_wallet.sync.runs import LEASE_SCOPE

from .invariants import check_invariants
from .processes import Failpoint, HeldRequests, wait_for
from .world import PATIENT, World

pytestmark = pytest.mark.chaos


def test_a_stopped_process_does_not_close_the_run_that_it_lost(world: World) -> None:
    """Case 42: it comes back while the other worker is busy; the run stays `running` until that ends."""
    world.seed(5)
    world.sell()
    trap = Failpoint("after_claim", world.new_folder())
    first = world.start(environment=trap.environment)
    trap.wait()
    first.send(signal.SIGSTOP)
    held = HeldRequests(world.google, at_least=5)
    second = world.start("--wait", environment=PATIENT)
    held.wait()
    holder = SyncState.objects.get(scope=LEASE_SCOPE).holder

    trap.release()
    first.send(signal.SIGCONT)
    first.wait()

    run = SyncRun.objects.get()
    assert (run.status, run.active_key is not None) == ("running", True)
    assert SyncState.objects.get(scope=LEASE_SCOPE).holder == holder
    held.release()
    assert second.wait() == 0, second.log
    wait_for(lambda: SyncRun.objects.get().status == "succeeded")
    check_invariants(world)
