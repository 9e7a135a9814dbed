"""What the demo says: numbered steps on standard output, plain text when nobody watches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.core.management.base import OutputWrapper
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from loyalty_wallet.management.progress import OnProgress, show_progress
from loyalty_wallet.management.summary import print_summary
from loyalty_wallet.sync import SyncReport
from loyalty_wallet.sync.orders import Progress

from .ending import Brake, Ending


class Screen:
    """Narrates, and leaves the program between two steps when the end is asked for."""

    def __init__(self, stdout: OutputWrapper, stderr: OutputWrapper, *, ending: Ending) -> None:
        self._stdout = stdout
        self._stderr = stderr
        self._ending = ending
        self._step = 0
        self._console = Console(
            file=stdout,  # type: ignore[arg-type]
            highlight=False,
            markup=False,
            soft_wrap=not stdout.isatty(),
        )

    def step(self, title: str) -> None:
        """Begin the next step."""
        self._ending.check()
        self._step += 1
        self._console.print()
        self._console.print(f"{self._step}. {title}", style="bold cyan")

    def say(self, text: str = "", *, style: str = "") -> None:
        """Say one line."""
        self._console.print(text, style=style)

    def address(self, url: str) -> None:
        """Say an address in one piece, however long it is."""
        self._console.print(url, style="underline", soft_wrap=True)

    def count_right(self, name: str, right: int, total: int) -> None:
        """Say how many cards show what the database has."""
        style = "green" if right == total else "yellow"
        self.say(f"{name}: {right} of {total} right.", style=style)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table."""
        table = Table(*columns, box=SIMPLE_HEAD)
        for row in rows:
            table.add_row(*row)
        self._console.print(table)

    @contextmanager
    def progress(self) -> Iterator[OnProgress]:
        """Show a sync's progress bar on a terminal; yield what the sync should call."""
        brake = Brake(lambda: self._ending.is_asked)
        with show_progress(self._stderr) as show:

            def update(progress: Progress) -> None:
                brake()
                if show is not None:
                    show(progress)

            yield update
        self._ending.check()

    def summary(self, report: SyncReport) -> None:
        """Print what the command sync_wallet_passes prints of a run."""
        print_summary(report, self._stdout)
