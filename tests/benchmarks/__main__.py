"""`python -m tests.benchmarks NAME`: measure one thing and print it beside its floor or its rival.

A benchmark is a module of this package with `run(options)` and, if it has options of its own,
`add_arguments(parser)`. The first line of its docstring is what the list says of it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

import django

import tests.benchmarks as package
from tests.benchmarks.measure import BenchmarkError

PROGRAM = "python -m tests.benchmarks"
USAGE = 2
_PRIVATE_PREFIXES = ("APPLE_WALLET_", "GOOGLE_WALLET_", "WALLET_")


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark that is named first, or list them all; return the exit status."""
    name = arguments[0] if arguments and not arguments[0].startswith("-") else ""
    _settle_environment(arguments)
    django.setup()
    benchmarks = _benchmarks()
    if not name:
        sys.stdout.write(_listing(benchmarks))
        return 0
    if name not in benchmarks:
        sys.stderr.write(f"There is no benchmark {name!r}.\n{_listing(benchmarks)}")
        return USAGE
    benchmark = benchmarks[name]
    parser = argparse.ArgumentParser(prog=f"{PROGRAM} {name}", description=benchmark.__doc__)
    _add_database(parser)
    if hasattr(benchmark, "add_arguments"):
        benchmark.add_arguments(parser)
    try:
        benchmark.run(parser.parse_args(arguments[1:]))
    except BenchmarkError as error:
        sys.stderr.write(f"No figures, since something went wrong: {error}\n")
        return 1
    return 0


def _add_database(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--database",
        metavar="URL",
        default=os.environ.get("DATABASE_URL") or "sqlite:///benchmark.sqlite3",
        help="where to make a scratch database (default: DATABASE_URL, or a temporary SQLite)",
    )


def _settle_environment(arguments: Sequence[str]) -> None:
    """Let the settings see the database that was asked for and nothing of this shell's wallets."""
    for variable in list(os.environ):
        if variable == "REDIS_URL" or variable.startswith(_PRIVATE_PREFIXES):
            del os.environ[variable]
    parser = argparse.ArgumentParser(add_help=False)
    _add_database(parser)
    os.environ["DATABASE_URL"] = parser.parse_known_args(arguments)[0].database
    os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"


def _benchmarks() -> dict[str, ModuleType]:
    names = [module.name for module in iter_modules(package.__path__) if module.name != "__main__"]
    modules = {name: import_module(f"{package.__name__}.{name}") for name in sorted(names)}
    return {
        name.replace("_", "-"): module for name, module in modules.items() if hasattr(module, "run")
    }


def _listing(benchmarks: dict[str, ModuleType]) -> str:
    lines = [f"{PROGRAM} NAME [--help]\n"]
    for name, module in benchmarks.items():
        summary = (module.__doc__ or "").partition("\n")[0]
        lines.append(f"  {name:12}  {summary}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
