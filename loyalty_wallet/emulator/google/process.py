"""`GoogleEmulatorProcess`: an emulator whose CPU time is not that of the caller."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from .emulator import DEFAULT_ISSUER_ID
from .remote import RemoteGoogleEmulator

STOP_SECONDS = 10


@dataclass(kw_only=True, eq=False)
class GoogleEmulatorProcess(RemoteGoogleEmulator):
    """A `GoogleEmulator` in a child process, with the same operations."""

    issuer_id: str = DEFAULT_ISSUER_ID
    port: int = 0
    requests_per_second: float | None = 20
    latency_seconds: float = 0.0
    token_lifetime_seconds: float = 3600
    log_bodies: bool = True
    seed: int | None = None
    url: str = field(default="", init=False)
    credentials_path: Path = field(default=Path(), init=False)
    _process: subprocess.Popen[str] | None = field(default=None, init=False, repr=False)
    _directory: tempfile.TemporaryDirectory[str] | None = field(
        default=None, init=False, repr=False
    )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The id of the child process."""
        if self._process is None:
            raise RuntimeError("The emulator has not been started.")
        return self._process.pid

    def start(self) -> None:
        """Start the child and wait until it serves; raises RuntimeError if it does not."""
        if self._process is not None:
            raise RuntimeError("The emulator is running already.")
        self._directory = tempfile.TemporaryDirectory(prefix="wallet-emulator-")
        directory = Path(self._directory.name)
        errors = directory / "errors.txt"
        with errors.open("w", encoding="utf-8") as stderr:
            self._process = subprocess.Popen(  # noqa: S603 (our own module, no shell)  # nosec B603
                self._command(directory / "service-account.json"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=_environment(),
            )
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            complaint = errors.read_text(encoding="utf-8")
            self.stop()
            raise RuntimeError(f"The emulator did not start: {complaint}")
        place = json.loads(line)
        self.url = place["url"]
        self.credentials_path = Path(place["credentials"])

    def stop(self) -> None:
        """End the child; does nothing if it is not running."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.communicate(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None

    def _command(self, credentials: Path) -> list[str]:
        options = {
            "--port": self.port,
            "--issuer-id": self.issuer_id,
            "--requests-per-second": self.requests_per_second or 0,
            "--latency": self.latency_seconds,
            "--token-lifetime": self.token_lifetime_seconds,
            "--credentials": credentials,
        }
        command = [sys.executable, "-m", "loyalty_wallet.emulator", "--end-with-stdin"]
        command += [str(word) for option in options.items() for word in option]
        if self.seed is not None:
            command += ["--seed", str(self.seed)]
        if not self.log_bodies:
            command.append("--no-log-bodies")
        return command


def _environment() -> dict[str, str]:
    # The child finds this package wherever the parent was started.
    root = str(Path(__file__).parents[3])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
