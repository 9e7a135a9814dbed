"""Worker processes that a test starts, stops in the middle and kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from loyalty_wallet.emulator import GoogleEmulator, LoggedRequest
from loyalty_wallet.sync.failpoints import VARIABLE

ROOT = Path(__file__).parent.parent.parent
PATIENCE_SECONDS = 60


def wait_for(condition: Callable[[], Any], *, seconds: float = PATIENCE_SECONDS) -> Any:
    """Return what `condition` gives as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "It did not happen in time."
        time.sleep(0.03)
    return value


class Worker:
    """A process in a process group of its own."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], folder: Path) -> None:
        self._output = folder / "stdout"
        self._log = folder / "stderr"
        with self._output.open("wb") as output, self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def output(self) -> str:
        return self._output.read_text(errors="replace")

    @property
    def children(self) -> list[int]:
        """The processes that it has started itself."""
        found = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in found.split()]

    @property
    def report(self) -> dict[str, Any]:
        """The report that the command printed with --json."""
        report: dict[str, Any] = json.loads(self.output)
        return report

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Wait for the end; return the exit code."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"The worker does not end:\n{self.log[-3000:]}") from None

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill the one process, without a warning."""
        self._process.kill()
        self._process.wait()

    def kill_group(self) -> None:
        """Kill the process and all its children, as the loss of a machine does."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        finally:
            self._process.wait()


class Failpoint:
    """A named place in the code at which the worker that gets there waits."""

    def __init__(self, name: str, folder: Path) -> None:
        self.environment = {VARIABLE: f"{name}:{folder}"}
        self._marker = folder / name

    def wait(self) -> None:
        wait_for(lambda: self._marker.exists() and self._marker.read_text())

    def release(self) -> None:
        """Let who waits go on, and nobody wait again."""
        self._marker.with_name(f"{self._marker.name}.done").touch()
        self._marker.unlink(missing_ok=True)


class HeldRequests:
    """Requests about cards that have reached Google and get no answer until they are released."""

    def __init__(self, google: GoogleEmulator, *, at_least: int = 3) -> None:
        self.environment: dict[str, str] = {}
        self.count = 0
        self._google = google
        self._at_least = at_least
        self._is_released = False
        google.on_request = self._hold

    def wait(self) -> None:
        wait_for(lambda: self.count >= self._at_least)

    def release(self) -> None:
        self._is_released = True
        self._google.on_request = None

    def _hold(self, request: LoggedRequest) -> None:
        if request.kind == "object" and not self._is_released:
            self.count += 1
            wait_for(lambda: self._is_released)
