"""`manage.py wallet_emulator`: an emulated Google Wallet to develop against."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from loyalty_wallet.emulator.google.emulator import GoogleEmulator
from loyalty_wallet.emulator.google.foreground import add_arguments, serve, write_credentials

ANNOUNCEMENT = """\
The emulated Google Wallet serves at {url}. Ctrl-C ends it.

In the shell of your project:

export GOOGLE_WALLET_ISSUER_ID={issuer_id}
export GOOGLE_WALLET_CREDENTIALS={credentials}
export GOOGLE_WALLET_API_URL={url}
export GOOGLE_WALLET_CALLBACK_KEYS_URL={keys_url}
export GOOGLE_WALLET_SAVE_URL={save_url}

Let the next three requests fail:

curl -X POST {url}/control/faults -d '{{"status": 503, "times": 3}}'
"""


class Command(BaseCommand):
    help = "Run an emulated Google Wallet on this machine, with faults to order."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        add_arguments(parser, port=8787, credentials=".wallet-emulator.json")

    def handle(
        self,
        *,
        host: str,
        port: int,
        credentials: Path,
        **options: Any,
    ) -> None:
        """Serve until Ctrl-C."""
        try:
            emulator = GoogleEmulator(
                host=host,
                port=port,
                issuer_id=options["issuer_id"],
                requests_per_second=options["requests_per_second"] or None,
                latency_seconds=options["latency"],
                log_bodies=False,
            )
        except ValueError as error:
            raise CommandError(str(error), returncode=2) from error

        def announce() -> None:
            path = write_credentials(emulator, credentials)
            self.stdout.write(
                ANNOUNCEMENT.format(
                    url=emulator.url,
                    keys_url=emulator.wallet_options["callback_keys_url"],
                    save_url=emulator.save_url,
                    issuer_id=shlex.quote(emulator.issuer_id),
                    credentials=shlex.quote(str(path)),
                )
            )
            self.stdout.flush()

        try:
            serve(emulator, announce, ends_with_stdin=False)
        except OSError as error:
            raise CommandError(f"Cannot serve on {host}:{port}: {error}") from error
        self.stdout.write("The emulated Google Wallet has ended.")
