"""What work costs a process, and how figures are shown: nothing here knows Django or wallets."""

from __future__ import annotations

import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, TypeVar

from rich.console import Console
from rich.table import Table

P = ParamSpec("P")
R = TypeVar("R")

MEGABYTE = 1024 * 1024


class BenchmarkError(Exception):
    """The measured thing did not do its work, so that its figures would be worth nothing."""


@dataclass(slots=True, kw_only=True)
class Cost:
    """What some work took: wall time, CPU time of this process (user and system), peak memory."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_mb: float = 0.0


@contextmanager
def measured() -> Iterator[Cost]:
    """Fill in the cost of what runs inside. The peak is that of the whole process so far."""
    cost = Cost()
    started, started_cpu = time.perf_counter(), cpu_seconds()
    yield cost
    cost.seconds = time.perf_counter() - started
    cost.cpu_seconds = cpu_seconds() - started_cpu
    cost.peak_mb = peak_mb()


def cpu_seconds() -> float:
    """Return the CPU time of this process so far, all its threads together."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def cpu_seconds_of(pid: int) -> float:
    """Return the CPU time of another process; not a number where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mb() -> float:
    """Return the most memory that this process ever had resident."""
    try:
        status = Path("/proc/self/status").read_text()
    except FileNotFoundError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MEGABYTE
    # Not ru_maxrss, where Linux has it start with the peak of the parent.
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


def in_fresh_process(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call the function in a new interpreter: no heap, thread or import of ours weighs on it."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args, **kwargs).result()


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine() -> str:
    """Return what the figures depend on, as far as it is not chosen by the benchmark."""
    return (
        f"{cores()} cores ({platform.machine()}, {platform.system()}), "
        f"{platform.python_implementation()} {platform.python_version()}"
    )


def show(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    notes: Iterable[str],
) -> None:
    """Print a table, its first column to the left, and what is to be said of it."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=120)
    console.print(table)
    for note in notes:
        console.print(note, markup=False)


def promise(is_kept: bool) -> str:
    return "kept" if is_kept else "MISSED"
