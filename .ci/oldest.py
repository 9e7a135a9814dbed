"""Print requirements for pip: the oldest versions of everything that pyproject.toml allows.

`python .ci/oldest.py >oldest.txt`, then `pip install -r oldest.txt`. What the app and its extras
name is held to its lower bound. The tools of the tests keep the versions of requirements.txt. What
all of them stand on is pip's choice.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BOUND = re.compile(r"(?P<name>[A-Za-z0-9._-]+(\[[^]]*\])?)>=(?P<version>[0-9.]+)")
LEFT_OUT = {"dev", "mysql"}
"""Extras: of `dev` only the tools below, and mysqlclient wants a compiler; tests use PyMySQL."""
TOOLS = {
    "coverage",
    "dj-database-url",
    "gunicorn",
    "hypothesis",
    "jsonschema",
    "pillow",
    "pymysql",
    "pytest-randomly",
    "pytest-timeout",
    "pytest-xdist",
    "pyyaml",
    "time-machine",
}


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    allowed = [
        *project["dependencies"],
        *(each for name in sorted(extras.keys() - LEFT_OUT) for each in extras[name]),
    ]
    lines = {f"{found['name']}=={found['version']}" for found in map(_bound, allowed)}
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        if line.partition("==")[0].replace("_", "-").lower() in TOOLS:
            lines.add(line)
    sys.stdout.write("".join(f"{line}\n" for line in sorted(lines, key=str.lower)))


def _bound(requirement: str) -> re.Match[str]:
    if (found := BOUND.match(requirement)) is None:
        sys.exit(f"pyproject.toml: {requirement} has no lower bound.")
    return found


if __name__ == "__main__":
    main()
