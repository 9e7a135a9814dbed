"""A progress bar on a terminal's stderr, and log lines that do not tear it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from django.core.management.base import OutputWrapper
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from ..models import WalletAudit, WalletPass
from ..sync.orders import Progress as SyncProgress

OnProgress = Callable[[SyncProgress], None]


@contextmanager
def show_progress(stderr: TextIO | OutputWrapper) -> Iterator[OnProgress | None]:
    """Yield what a sync should call with its progress; None when nobody watches a terminal."""
    if not stderr.isatty():
        yield None
        return
    bar = _bar("Syncing")
    with bar, _logging_above(bar):
        task = bar.add_task("", total=None, detail="")

        def update(progress: SyncProgress) -> None:
            if bar.tasks[0].total is None:
                bar.update(task, total=WalletPass.objects.due().count() + progress.done)
            details = []
            if progress.failed:
                details.append(f"[red]{progress.failed} failed[/red]")
            if progress.waiting:
                verb = "waits" if progress.waiting == 1 else "wait"
                details.append(f"[yellow]{progress.waiting} {verb} for a retry[/yellow]")
            bar.update(task, completed=progress.done, detail=", ".join(details))

        yield update


@contextmanager
def show_audit_progress(
    stderr: TextIO | OutputWrapper,
) -> Iterator[Callable[[WalletAudit], None] | None]:
    """Yield what an audit should call with itself; None when nobody watches a terminal."""
    if not stderr.isatty():
        yield None
        return
    bar = _bar("Auditing")
    with bar, _logging_above(bar):
        tasks: dict[int, TaskID] = {}

        def update(audit: WalletAudit) -> None:
            counts = audit.counts
            if audit.pk not in tasks:
                passes = WalletPass.objects.filter(wallet=audit.wallet, synced_at__isnull=False)
                if audit.program_key:
                    passes = passes.filter(program_key=audit.program_key)
                tasks[audit.pk] = bar.add_task("", total=passes.count(), detail="")
            details = [
                f"[yellow]{counts[name]:,} {name}[/yellow]"
                for name in ("missing", "different", "unknown")
                if counts[name]
            ]
            bar.update(tasks[audit.pk], completed=counts["objects"], detail=", ".join(details))

        yield update


def _bar(title: str) -> Progress:
    return Progress(
        TextColumn(f"[bold]{title}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
        console=Console(file=sys.stderr),
    )


@contextmanager
def _logging_above(bar: Progress) -> Iterator[None]:
    """Send console logging through the bar's stderr, which prints above it."""
    handlers = [
        handler
        for name in ("", "loyalty_wallet")
        for handler in logging.getLogger(name).handlers
        if type(handler) is logging.StreamHandler
    ]
    streams = [handler.setStream(sys.stderr) for handler in handlers]
    try:
        yield
    finally:
        for handler, stream in zip(handlers, streams, strict=True):
            if stream is not None:
                handler.setStream(stream)
