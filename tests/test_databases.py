"""What touches tables holds on PostgreSQL and on MariaDB as well, each on a private server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CHOSEN = (
    "tests/models",
    "tests/shop",
    "tests/sync/test_claims.py",
    "tests/sync/test_leases.py",
)
AT_LEAST = 120


@pytest.mark.chaos
@pytest.mark.database
@pytest.mark.timeout(300)
@pytest.mark.parametrize("server", ["postgres_server", "mariadb_server"])
def test_tables_behave_alike(server: str, request: pytest.FixtureRequest) -> None:
    """Models, leases and a whole sync of a foreign table pass there, and none is left out."""
    url = request.getfixturevalue(server).url
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", *CHOSEN),
            # It starts servers of its own, for all databases.
            "--ignore=tests/models/test_concurrency.py",
            *("-p", "no:randomly", "-p", "no:cacheprovider", "-q"),
        ],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    outcomes = re.findall(r"(\d+) (\w+)", done.stdout.splitlines()[-1])
    assert {word for _, word in outcomes} == {"passed"}, done.stdout
    assert int(outcomes[0][0]) >= AT_LEAST, done.stdout
