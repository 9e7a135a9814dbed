"""The benchmarks run, check their own result and print what they compare; no time is asserted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import PostgresServer
from tests.servers.fixtures import installed

ROOT = Path(__file__).resolve().parent.parent


def benchmark(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


@pytest.mark.chaos
@pytest.mark.parametrize(
    "arguments",
    [
        ["throughput", "--cards", "200", "--rounds", "1"],
        ["clean", "--sizes", "50", "--rounds", "1"],
        ["audit", "--cards", "300", "--planted", "2", "--latency", "0"],
        ["memory", "--small", "20", "--cards", "40"],
        ["claims", "--passes", "600", "--rounds", "1", "--only-given"],
        ["outage", "--cards", "150", "--rate", "500", "--timeout", "0.2", "--delays", "0.1"],
        ["outage-shape", "--cards", "40", "--latency", "0.02", "--delays", "0.1", "0.2"],
        ["pkpass", "--seconds", "0.1"],
        ["peers", "--cards", "20", "--latency", "0", "--delays", "0.01", "0.01", "0.01"],
        ["admin", "--passes", "200", "--runs", "30", "--rounds", "1"],
        ["webservice", "--phones", "20", "--seconds", "0.1"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_benchmark_prints_a_ratio(arguments: list[str]) -> None:
    """Small sizes are enough to see that a benchmark works from end to end."""
    result = benchmark(*arguments)
    assert result.returncode == 0, result.stderr
    assert "ratio" in result.stdout.lower()
    assert "Django" in result.stdout


@pytest.mark.chaos
@pytest.mark.parametrize(
    "arguments",
    [
        ["quota", "--seconds", "1", "--processes", "2"],
        ["selection", "--passes", "2000", "--due", "20", "--rounds", "2"],
        ["workers", "--cards", "60", "--workers", "1", "2", "--latency", "0.01"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_benchmark_with_a_server_of_its_own_prints_a_ratio(arguments: list[str]) -> None:
    """Those start a private PostgreSQL; without its programs there is nothing to measure."""
    installed(PostgresServer)
    test_benchmark_prints_a_ratio(arguments)


def test_without_a_name_all_benchmarks_are_listed() -> None:
    """Each has one line that says what it measures."""
    result = benchmark()
    assert result.returncode == 0, result.stderr
    for name in ("throughput", "clean", "memory"):
        assert f"  {name} " in result.stdout


def test_unknown_benchmark_is_a_usage_error() -> None:
    """A wrong name does not look like a result."""
    result = benchmark("speed")
    assert result.returncode == 2
    assert "throughput" in result.stderr
    assert result.stdout == ""
