"""Several worker processes on one run: one leads it, the others help, as Celery's workers would.

`python -m tests.benchmarks.crew lead|help FOLDER` is one of them. All start up and wait; then the
leader begins a full run and, where the task wakes other workers, leaves the run's id in the folder.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.command import ROOT, set_up
from tests.benchmarks.measure import BenchmarkError, Cost, measured

BEGIN = "begin"
RUN_FILE = "run"
LOOK_SECONDS = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class CrewRun:
    """A run by several processes: the leader's report, and what each took, the leader first."""

    report: dict[str, Any]
    costs: list[Cost]

    @property
    def seconds(self) -> float:
        return self.costs[0].seconds

    @property
    def cpu_seconds(self) -> float:
        return sum(cost.cpu_seconds for cost in self.costs)


def drain_together(workers: int, environment: Mapping[str, str]) -> CrewRun:
    """Sync what is due with so many processes. Raises BenchmarkError when one breaks down."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="loyalty-wallet-crew-"))
        roles = ["lead"] + ["help"] * (workers - 1)
        crew = [_start(stack, role, folder, environment) for role in roles]
        for process in crew:
            _tell(process, BEGIN)
        results = [_result(process) for process in crew]
    return CrewRun(
        report=results[0]["report"], costs=[Cost(**result["cost"]) for result in results]
    )


def _start(
    stack: ExitStack, role: str, folder: str, environment: Mapping[str, str]
) -> subprocess.Popen[str]:
    """Start one of the crew, and return when it waits for the word to begin."""
    process = stack.enter_context(
        subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.crew", role, folder],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    )
    stack.callback(process.kill)
    assert process.stdout is not None
    if not process.stdout.readline():
        raise BenchmarkError("A worker did not start.")
    return process


def _tell(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{word}\n")
    process.stdin.flush()


def _result(process: subprocess.Popen[str]) -> dict[str, Any]:
    output = process.communicate()[0]
    if process.returncode != 0:
        raise BenchmarkError(f"A worker ended with {process.returncode}.")
    result: dict[str, Any] = json.loads(output)
    return result


def _main(role: str, folder: str) -> None:
    set_up()
    from loyalty_wallet.models import SyncRun
    from loyalty_wallet.registry import get_wallets
    from loyalty_wallet.sync import sync_wallet_passes
    from loyalty_wallet.tasks import drain_run

    get_wallets()
    run_file = Path(folder) / RUN_FILE

    def leave_run(run: SyncRun) -> None:
        unfinished = run_file.with_suffix(".new")
        unfinished.write_text(str(run.pk))
        unfinished.rename(run_file)

    def lead() -> dict[str, Any]:
        return sync_wallet_passes(on_open=leave_run).as_dict()

    def help_out() -> dict[str, Any]:
        while not run_file.exists():
            time.sleep(LOOK_SECONDS)
        drain_run(int(run_file.read_text()))
        return {}

    SyncRun.objects.exists()
    _say("ready")
    sys.stdin.readline()
    with measured() as cost:
        report = lead() if role == "lead" else help_out()
    _say(json.dumps({"report": report, "cost": asdict(cost)}))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _main(*sys.argv[1:])
