"""Run a command on a private database server: `python .ci/with_server.py postgres COMMAND...`.

The command finds the server in DATABASE_URL; it ends with the command, and leaves nothing behind.
The exit status is the command's, or 2 when the server is not installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOT_INSTALLED = 2


def main(kind: str, *command: str) -> int:
    sys.path.insert(0, str(ROOT))
    from tests.servers import MariaDBServer, PostgresServer, ServerNotInstalledError

    kinds = {"postgres": PostgresServer, "mariadb": MariaDBServer}
    try:
        server = kinds[kind]()
    except ServerNotInstalledError as error:
        sys.stderr.write(f"{error}\n")
        return NOT_INSTALLED
    with server:
        environment = {**os.environ, "DATABASE_URL": server.url}
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
