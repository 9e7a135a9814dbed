"""What all private servers share: where they live, how they start, stop and leave nothing behind."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

START_SECONDS = 60
STOP_SECONDS = 20


class ServerNotInstalledError(Exception):
    """A program of the server is not on this machine; the message says what to install."""


class ServerNotReadyError(Exception):
    """The server did not come up; the message ends with its log."""


class Server(ABC):
    """One private server with its own directory and port, both kept over `restart()`."""

    name: ClassVar[str]
    package: ClassVar[str]
    """What to install with the system's package manager."""
    programs: ClassVar[tuple[str, ...]]
    fallback_folders: ClassVar[tuple[str, ...]] = ()
    """Glob patterns of folders that distributions keep off the PATH."""
    accounts: ClassVar[tuple[str, ...]] = ()
    """For a server that refuses to run as root: the accounts to use instead, best first."""
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(
        self, *, path: str | None = None, fallback_folders: Sequence[str] | None = None
    ) -> None:
        if fallback_folders is None:
            fallback_folders = self.fallback_folders
        self._binaries = {
            program: self._find(program, path, fallback_folders) for program in self.programs
        }
        self._account = _account(self.accounts) if self.accounts and os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: Guard | None = None
        self.directory: Path | None = None
        self.port = 0

    @property
    @abstractmethod
    def url(self) -> str:
        """The address in the form of DATABASE_URL or REDIS_URL."""

    @abstractmethod
    def prepare(self, directory: Path) -> None:
        """Fill the new, empty directory, before the first start."""

    @abstractmethod
    def command(self, directory: Path) -> list[str]:
        """The command that runs the server in the foreground on `self.port`."""

    @abstractmethod
    def ping(self) -> None:
        """Return if the server answers; raise anything if it does not."""

    def populate(self) -> None:  # noqa: B027 - not every server has something to create
        """Create what the url promises, after the first start."""

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running.")
        return self._process.pid

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the server, the first time in a new directory, and wait until it answers."""
        if self.is_running:
            return
        if self.directory is not None:
            self._launch(self.directory, relaunches=25)
            return
        self.directory = Path(tempfile.mkdtemp(prefix=f"loyalty-wallet-{self.name.lower()}-"))
        self._guard = Guard(self.directory)
        if self._account is not None:
            os.chown(self.directory, self._account.pw_uid, self._account.pw_gid)
        self.prepare(self.directory)
        # Between asking for a free port and listening on it, someone else may take it.
        for is_last_try in (False, False, True):
            self.port = _free_port()
            try:
                self._launch(self.directory)
                break
            except ServerNotReadyError:
                if is_last_try or "in use" not in self.log.lower():
                    raise
        self.populate()

    def stop(self) -> None:
        """Stop the server the polite way; its data stay."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """Kill the server without a warning; its data stay as they are."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Start the server again at the same address, whether it runs, was stopped or killed."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Leave neither process nor file behind."""
        self.kill()
        if self.directory is not None:
            shutil.rmtree(self.directory, ignore_errors=True)
            self.directory = None
        if self._guard is not None:
            self._guard.dismiss()
            self._guard = None

    @property
    def log(self) -> str:
        """The last lines that the server and its tools wrote."""
        if self.directory is None or not (self.directory / "log").exists():
            return ""
        return (self.directory / "log").read_text(errors="replace")[-3000:]

    def run(self, program: str, *arguments: str) -> None:
        """Run one of the server's tools, as the account that the server runs under."""
        assert self.directory is not None
        with (self.directory / "log").open("ab") as log:
            result = subprocess.run(
                self._as_account([self._binaries[program], *arguments]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                check=False,
                timeout=START_SECONDS,
            )
        if result.returncode != 0:
            raise ServerNotReadyError(f"{program} ended with {result.returncode}:\n{self.log}")

    def binary(self, program: str) -> str:
        return self._binaries[program]

    def _launch(self, directory: Path, *, relaunches: int = 0) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with (directory / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    self._as_account(self.command(directory)),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=directory,
                    start_new_session=True,
                )
            if self._guard is not None:
                self._guard.watch(self._process.pid)
            while self._process.poll() is None:
                try:
                    self.ping()
                except Exception as error:
                    if time.monotonic() > deadline:
                        self.kill()
                        raise ServerNotReadyError(
                            f"{self.name} does not answer: {error}\n{self.log}"
                        ) from error
                    time.sleep(0.05)
                else:
                    return
            # Children of a server that was just killed may hold its memory for a moment.
            if relaunches == 0:
                raise ServerNotReadyError(f"{self.name} ended at once:\n{self.log}")
            relaunches -= 1
            time.sleep(0.2)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(how)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(STOP_SECONDS)
        if self._guard is not None:
            self._guard.watch(None)
        self._process = None

    def _as_account(self, command: list[str]) -> list[str]:
        if self._account is None:
            return command
        return [
            "setpriv",
            f"--reuid={self._account.pw_uid}",
            f"--regid={self._account.pw_gid}",
            "--clear-groups",
            "--",
            *command,
        ]

    @classmethod
    def _find(cls, program: str, path: str | None, fallback_folders: Sequence[str]) -> str:
        if found := shutil.which(program, path=path):
            return str(Path(found).absolute())
        for pattern in fallback_folders:
            folders = sorted(Path("/").glob(pattern.removeprefix("/")), reverse=True)
            for folder in folders:
                if found := shutil.which(program, path=str(folder)):
                    return found
        raise ServerNotInstalledError(
            f"{cls.name} is needed: install it with `apt-get install {cls.package}`"
            f" (`{program}` was not found)."
        )


class Guard:
    """A tiny process that cleans up when pytest itself is killed and cannot.

    It reads which process to watch from a pipe. The end of the pipe means that pytest is gone.
    """

    SCRIPT = """
import os, shutil, signal, sys
pid = 0
for line in sys.stdin:
    pid = int(line)
if pid:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", self.SCRIPT, str(directory)],
            stdin=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )

    def watch(self, pid: int | None) -> None:
        self._tell(pid or 0)

    def dismiss(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(STOP_SECONDS)

    def _tell(self, pid: int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{pid}\n")
        self._process.stdin.flush()


def _account(names: Sequence[str]) -> pwd.struct_passwd:
    for name in names:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ServerNotInstalledError(f"None of the accounts {', '.join(names)} exists.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
