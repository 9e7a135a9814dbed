"""`python -m loyalty_wallet.emulator`: an emulated Google in a process of its own.

It says where it serves in one line of JSON on standard output.
"""

from __future__ import annotations

import argparse
import json
import sys

from .google.emulator import GoogleEmulator
from .google.foreground import add_arguments, serve, write_credentials


def main() -> None:
    """Serve until Ctrl-C, SIGTERM or the end of standard input."""
    parser = argparse.ArgumentParser(prog="python -m loyalty_wallet.emulator", description=__doc__)
    add_arguments(parser, port=0, credentials=".wallet-emulator.json")
    parser.add_argument("--token-lifetime", type=float, default=3600, metavar="SECONDS")
    parser.add_argument("--seed", type=int, help="makes random faults repeatable")
    parser.add_argument("--no-log-bodies", action="store_true", help="keep a long log small")
    parser.add_argument("--end-with-stdin", action="store_true", help="end when the parent does")
    options = parser.parse_args()
    try:
        emulator = GoogleEmulator(
            host=options.host,
            port=options.port,
            issuer_id=options.issuer_id,
            requests_per_second=options.requests_per_second or None,
            latency_seconds=options.latency,
            token_lifetime_seconds=options.token_lifetime,
            log_bodies=not options.no_log_bodies,
            seed=options.seed,
        )
    except ValueError as error:
        parser.error(str(error))

    def announce() -> None:
        path = write_credentials(emulator, options.credentials)
        place = {
            "url": emulator.url,
            "issuer_id": emulator.issuer_id,
            "credentials": str(path),
        }
        sys.stdout.write(json.dumps(place) + "\n")
        sys.stdout.flush()

    try:
        serve(emulator, announce, ends_with_stdin=options.end_with_stdin)
    except OSError as error:
        parser.exit(1, f"Cannot serve on {options.host}:{options.port}: {error}\n")


if __name__ == "__main__":
    main()
