from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error as DatabaseFailure

from ...conf import get_conf
from ...exceptions import SelectionError
from ...models import SyncFailure, SyncRun
from ...queueing import enqueue_run, has_broker
from ...redaction import harmless
from ...sync import (
    Selection,
    SyncReport,
    forecast_sync,
    queue_wallet_sync,
    sync_wallet_passes,
)
from ..arguments import add_arguments, line_to_go_on, selection_of
from ..outlook import print_outlook
from ..progress import show_progress
from ..stopping import listening
from ..summary import print_summary

SOME_FAILED = 1
USAGE = 2
CONFIGURATION = 3
RUN_ACTIVE = 4
STOPPED_EARLY = 5


class SummedUpError(CommandError):
    """The summary has said it all, last a line to paste: on a command line, nothing follows it."""


class StoppedAtOnceError(Exception):
    """Ctrl-C for the second time, or before the run began; with the run, where there is one."""

    def __init__(self, run: SyncRun | None) -> None:
        super().__init__()
        self.run = run


class Command(BaseCommand):
    help = (
        "Bring wallet passes up to date: everything that is due, or what the options select. "
        "Exit status: 0 in sync, 1 some cards failed, 2 usage, 3 configuration (nothing could be "
        "tried), 4 another run is going, 5 stopped early (work is left)."
    )
    # A wallet whose key is broken is this command's own finding, with its own exit status.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        add_arguments(parser)

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except SummedUpError as error:
            if getattr(self, "_called_from_command_line", False):
                sys.exit(error.returncode)
            raise

    def handle(self, **options: Any) -> None:
        try:
            selection = selection_of(options)
            if options["enqueue"]:
                self._enqueue(selection, options)
                return
            if options["dry_run"]:
                report = self._look_ahead(selection, options)
            else:
                report = self._sync(selection, options)
        except SelectionError as error:
            raise CommandError(str(error), returncode=USAGE) from error
        except ImproperlyConfigured as error:
            raise CommandError(str(error), returncode=CONFIGURATION) from error
        except StoppedAtOnceError as stop:
            self._exit_at_once(stop.run, options)
        self._exit(report, options)

    def _look_ahead(self, selection: Selection, options: dict[str, Any]) -> SyncReport:
        failures_file = _writable(options["failures"])
        forecast = forecast_sync(
            selection,
            limit=options["limit"],
            force=options["force"],
            keep=options["differences"],
        )
        if failures_file is not None:
            _write_failures(failures_file, forecast.report)
        if options["json"]:
            self._print_json(forecast.report)
        elif options["verbosity"]:
            print_outlook(forecast, self.stdout)
        return forecast.report

    def _sync(self, selection: Selection, options: dict[str, Any]) -> SyncReport:
        failures_file = _writable(options["failures"])
        wants_progress = not options["no_progress"] and options["verbosity"] > 0
        bar = show_progress(self.stderr) if wants_progress else nullcontext()
        opened: list[SyncRun] = []
        with listening() as interrupts:
            try:
                with bar as on_progress:
                    report = sync_wallet_passes(
                        trigger=SyncRun.Trigger.COMMAND,
                        selection=selection,
                        limit=options["limit"],
                        force=options["force"],
                        notify=options["notify"],
                        max_seconds=options["max_seconds"],
                        wait=options["wait"],
                        stop=interrupts.stop,
                        on_open=opened.append,
                        on_progress=on_progress,
                    )
            except (KeyboardInterrupt, DatabaseFailure) as error:
                # SQLite makes an error of its own of a Ctrl-C that meets one of its functions.
                if interrupts.is_urgent or isinstance(error, KeyboardInterrupt):
                    raise StoppedAtOnceError(opened[0] if opened else None) from error
                raise
        if report.status == SyncRun.Status.SKIPPED and interrupts.count:
            raise CommandError(
                "Stopped while it waited: nothing was done.", returncode=STOPPED_EARLY
            )
        if failures_file is not None:
            _write_failures(failures_file, report)
        if options["json"]:
            self._print_json(report)
        elif options["verbosity"] and report.status != SyncRun.Status.SKIPPED:
            line = line_to_go_on(selection, notify=options["notify"])
            print_summary(report, self.stdout, line_to_go_on=line)
        return report

    def _enqueue(self, selection: Selection, options: dict[str, Any]) -> None:
        for name in ("dry_run", "wait", "limit", "max_seconds", "failures"):
            if options[name]:
                raise CommandError(
                    f"--enqueue does not go with --{name.replace('_', '-')}.", returncode=USAGE
                )
        if not has_broker():
            raise CommandError(
                "--enqueue needs Celery with a broker: set REDIS_URL, or run without --enqueue.",
                returncode=CONFIGURATION,
            )
        run = queue_wallet_sync(
            selection,
            trigger=SyncRun.Trigger.COMMAND,
            force=options["force"],
            notify=options["notify"],
        )
        enqueue_run(run)
        run.refresh_from_db()
        if run.status == SyncRun.Status.FAILED:
            raise CommandError(run.error, returncode=CONFIGURATION)
        if options["json"]:
            self._print_json(SyncReport.of_run(run))
        else:
            self.stdout.write(f"Run {run.pk} is queued for a worker.")

    def _exit(self, report: SyncReport, options: dict[str, Any]) -> None:
        cards = report.cards
        is_summed_up = options["verbosity"] > 0 and not options["json"]
        error = SummedUpError if is_summed_up else CommandError
        if report.status == SyncRun.Status.SKIPPED:
            raise CommandError(
                f"{report.error} Nothing was done; add --wait to wait for it.",
                returncode=RUN_ACTIVE,
            )
        if report.untried_wallets and not (cards["synced"] or cards["unchanged"]):
            raise error(f"Nothing could be tried. {report.error}", returncode=CONFIGURATION)
        if report.was_stopped_early and cards["left"]:
            raise error(f"Stopped early: {cards['left']} cards left.", returncode=STOPPED_EARLY)
        if options["fail_on_error"] and report.status not in ("succeeded", "queued"):
            raise error(
                report.error or f"{report.failed_cards} cards are not up to date.",
                returncode=SOME_FAILED,
            )

    def _exit_at_once(self, run: SyncRun | None, options: dict[str, Any]) -> NoReturn:
        """Say what is known of a run that was cut off."""
        if run is None:
            raise CommandError("Stopped before anything was sent.", returncode=STOPPED_EARLY)
        run.refresh_from_db()
        report = SyncReport.of_run(run)
        if options["json"]:
            self._print_json(report)
        cards = report.cards
        done = cards["synced"] + cards["unchanged"]
        raise CommandError(
            f"Run {run.pk} was stopped at once. On record: {done} cards up to date, "
            f"{report.failed_cards} failed. What was under way may have arrived or not; it stays "
            f"due, and is sent again by a run that begins in {get_conf().lease_seconds:g} s or "
            f"later:\n{line_to_go_on(Selection.from_json(run.selection), notify=run.notifies)}",
            returncode=STOPPED_EARLY,
        )

    def _print_json(self, report: SyncReport) -> None:
        self.stdout.write(json.dumps(report.as_dict(), indent=2))


def _writable(name: str | None) -> Path | None:
    """Find out before the run, not after it, that the file cannot be written."""
    if not name:
        return None
    path = Path(name)
    try:
        path.open("w", encoding="utf-8").close()
    except OSError as error:
        raise SelectionError(f"--failures: {error}") from error
    return path


def _write_failures(path: Path, report: SyncReport) -> None:
    columns = (
        "wallet_pass__card_key",
        "wallet_pass__wallet",
        "code",
        "attempts",
        "http_status",
        "message",
    )
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["card_id", "wallet", "code", "attempts", "http_status", "message"])
        rows: Iterable[Iterable[object]]
        if report.run_id is None:
            rows = (
                (f.card_id, f.wallet, f.code, f.attempts, f.http_status, f.message)
                for f in report.failures
            )
        else:
            failures = SyncFailure.objects.filter(run=report.run_id).order_by("pk")
            rows = failures.values_list(*columns).iterator()
        writer.writerows(map(harmless, row) for row in rows)
