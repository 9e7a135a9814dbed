"""One management command in a process of its own, measured from inside.

Django's start-up, up to the point where the command and the wallets are imported, is told apart
from the command's own work.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import BenchmarkError, Cost, cpu_seconds, measured, peak_mb

CONF_VARIABLE = "LOYALTY_WALLET_BENCHMARK"
"""Where the child finds the whole setting: not all of it can be said by the project's variables."""

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRun:
    """What a command printed, and what it took. `whole` is everything from spawn to exit."""

    output: str
    startup: Cost
    work: Cost
    whole: Cost
    queries: int

    @property
    def report(self) -> dict[str, Any]:
        """What the command said with `--json`."""
        report: dict[str, Any] = json.loads(self.output)
        return report


def run_command(*arguments: str, environment: Mapping[str, str]) -> CommandRun:
    """Run `manage.py` with these arguments. Raises BenchmarkError unless it exits with 0."""
    with tempfile.TemporaryDirectory(prefix="loyalty-wallet-benchmark-") as folder:
        figures = Path(folder) / "figures.json"
        started = time.perf_counter()
        process = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.command", str(figures), *arguments],
            cwd=ROOT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - started
        if process.returncode != 0 or not figures.exists():
            raise BenchmarkError(
                f"`manage.py {' '.join(arguments)}` exited with {process.returncode}:\n"
                f"{process.stderr.strip()[-2000:]}"
            )
        taken = json.loads(figures.read_text())
    startup, work = Cost(**taken["startup"]), Cost(**taken["work"])
    # What is neither is the interpreter's own beginning and end.
    startup.seconds = seconds - work.seconds
    return CommandRun(
        output=process.stdout,
        startup=startup,
        work=work,
        whole=Cost(
            seconds=seconds,
            cpu_seconds=startup.cpu_seconds + work.cpu_seconds,
            peak_mb=work.peak_mb,
        ),
        queries=taken["queries"],
    )


def set_up() -> None:
    """Start Django in a child process with the setting that its parent has left for it."""
    import django
    from django.conf import settings

    settings.LOYALTY_WALLET = json.loads(os.environ[CONF_VARIABLE])
    django.setup()


def _main(figures: str, name: str, *arguments: str) -> None:
    set_up()
    from django.core.management import execute_from_command_line, get_commands, load_command_class
    from django.db import connection

    from loyalty_wallet.registry import get_wallets

    load_command_class(get_commands()[name], name)
    get_wallets()
    startup = Cost(cpu_seconds=cpu_seconds(), peak_mb=peak_mb())
    queries = 0

    def count(execute: Callable[..., Any], *statement: Any) -> Any:
        nonlocal queries
        queries += 1
        return execute(*statement)

    with connection.execute_wrapper(count), measured() as work:
        execute_from_command_line(["manage.py", name, *arguments])
    taken = {"startup": asdict(startup), "work": asdict(work), "queries": queries}
    Path(figures).write_text(json.dumps(taken))


if __name__ == "__main__":
    _main(*sys.argv[1:])
