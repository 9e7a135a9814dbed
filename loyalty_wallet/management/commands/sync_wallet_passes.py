from __future__ import annotations

import csv
import json
import re
import signal
import threading
from contextlib import nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from ...exceptions import SelectionError
from ...models import SyncFailure, SyncRun
from ...queueing import enqueue_run, has_broker
from ...sync import (
    Selection,
    SyncReport,
    preview_sync,
    queue_wallet_sync,
    sync_wallet_passes,
)
from ...sync.lookup import find_card_keys
from ..progress import show_progress
from ..summary import print_summary

SOME_FAILED = 1
USAGE = 2
CONFIGURATION = 3
RUN_ACTIVE = 4
STOPPED_EARLY = 5

_AGE = re.compile(r"(\d+)([smhd])")
_AGE_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Command(BaseCommand):
    help = (
        "Bring wallet passes up to date: everything that is due, or what the options select. "
        "Exit status: 0 in sync, 1 some cards failed, 2 usage, 3 configuration (nothing could be "
        "tried), 4 another run is going, 5 stopped early (work is left)."
    )
    # A wallet whose key is broken is this command's own finding, with its own exit status.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_argument_group("what to sync (default: everything due)")
        only_one = what.add_mutually_exclusive_group()
        only_one.add_argument(
            "--card",
            nargs="+",
            action="extend",
            metavar="KEY",
            dest="cards",
            help="these cards, due or not",
        )
        only_one.add_argument("--failed", action="store_true", help="what failed last time")
        only_one.add_argument(
            "--run", metavar="ID", help="what that run left failed or deferred; or 'last'"
        )
        only_one.add_argument(
            "--since", metavar="WHEN", help="cards changed since ISO 8601, or an age like 2h or 3d"
        )
        only_one.add_argument("--all", action="store_true", help="every pass, due or not")
        what.add_argument("--program", default="", metavar="SLUG", help="only this program")
        what.add_argument("--wallet", default="", metavar="ALIAS", help="only this wallet")
        what.add_argument("--limit", type=_positive, metavar="N", help="at most N passes")

        how = parser.add_argument_group("how")
        how.add_argument(
            "-n", "--dry-run", action="store_true", help="compare only: no request, no write"
        )
        how.add_argument("--force", action="store_true", help="send what is unchanged too")
        how.add_argument(
            "--notify", action="store_true", help="let the provider tell customers (3 a day)"
        )
        how.add_argument(
            "--enqueue", action="store_true", help="leave it to a Celery worker and return"
        )
        how.add_argument("--wait", action="store_true", help="wait while another run is going")
        how.add_argument(
            "--max-seconds", type=_positive, metavar="N", help="begin no new cards after N seconds"
        )

        output = parser.add_argument_group("output")
        output.add_argument("--json", action="store_true", help="the report as JSON on stdout")
        output.add_argument("--failures", metavar="FILE", help="write the failed passes as CSV")
        output.add_argument("--no-progress", action="store_true", help="no progress bar on stderr")
        output.add_argument(
            "--no-fail-on-error",
            dest="fail_on_error",
            action="store_false",
            help="exit 0 although some cards failed",
        )
        output.add_argument(
            "--fail-on-error",
            dest="fail_on_error",
            action="store_true",
            default=True,
            help="exit 1 when some cards failed (the default)",
        )

    def handle(self, **options: Any) -> None:
        try:
            selection = _selection(options)
            if options["enqueue"]:
                self._enqueue(selection, options)
                return
            report = self._sync(selection, options)
        except SelectionError as error:
            raise CommandError(str(error), returncode=USAGE) from error
        except ImproperlyConfigured as error:
            raise CommandError(str(error), returncode=CONFIGURATION) from error
        if options["json"]:
            self.stdout.write(json.dumps(report.as_dict(), indent=2))
        elif options["verbosity"]:
            print_summary(report, self.stdout, is_dry_run=options["dry_run"])
        self._exit(report, fail_on_error=options["fail_on_error"])

    def _sync(self, selection: Selection, options: dict[str, Any]) -> SyncReport:
        failures_file = _writable(options["failures"])
        if options["dry_run"]:
            report = preview_sync(selection, limit=options["limit"])
        else:
            _stop_like_ctrl_c(signal.SIGTERM)
            wants_progress = not options["no_progress"] and options["verbosity"] > 0
            bar = show_progress(self.stderr) if wants_progress else nullcontext()
            with bar as on_progress:
                report = sync_wallet_passes(
                    trigger=SyncRun.Trigger.COMMAND,
                    selection=selection,
                    limit=options["limit"],
                    force=options["force"],
                    notify=options["notify"],
                    max_seconds=options["max_seconds"],
                    wait=options["wait"],
                    on_progress=on_progress,
                )
        if failures_file is not None:
            _write_failures(failures_file, report)
        return report

    def _enqueue(self, selection: Selection, options: dict[str, Any]) -> None:
        for name in ("dry_run", "notify", "wait", "limit", "max_seconds", "failures"):
            if options[name]:
                raise CommandError(
                    f"--enqueue does not go with --{name.replace('_', '-')}.", returncode=USAGE
                )
        if not has_broker():
            raise CommandError(
                "--enqueue needs Celery with a broker: set REDIS_URL, or run without --enqueue.",
                returncode=CONFIGURATION,
            )
        run = queue_wallet_sync(selection, trigger=SyncRun.Trigger.COMMAND, force=options["force"])
        enqueue_run(run)
        run.refresh_from_db()
        if run.status == SyncRun.Status.FAILED:
            raise CommandError(run.error, returncode=CONFIGURATION)
        if options["json"]:
            self.stdout.write(json.dumps(SyncReport.of_run(run).as_dict(), indent=2))
        else:
            self.stdout.write(f"Run {run.pk} is queued for a worker.")

    def _exit(self, report: SyncReport, *, fail_on_error: bool) -> None:
        cards = report.cards
        if report.status == SyncRun.Status.SKIPPED:
            raise CommandError(
                f"{report.error} Nothing was done; add --wait to wait for it.",
                returncode=RUN_ACTIVE,
            )
        if report.untried_wallets and not (cards["synced"] or cards["unchanged"]):
            raise CommandError(f"Nothing could be tried. {report.error}", returncode=CONFIGURATION)
        if report.was_stopped_early and cards["left"]:
            raise CommandError(
                f"Stopped early: {cards['left']} cards left.", returncode=STOPPED_EARLY
            )
        if fail_on_error and report.status not in ("succeeded", "queued"):
            raise CommandError(
                report.error or f"{report.failed_cards} cards are not up to date.",
                returncode=SOME_FAILED,
            )


def _selection(options: dict[str, Any]) -> Selection:
    if options["cards"]:
        selection = Selection.of_cards(find_card_keys(options["cards"]))
    elif options["failed"]:
        selection = Selection.of_failed()
    elif options["run"]:
        selection = Selection.of_run(_run_id(options["run"]))
    elif options["since"]:
        selection = Selection.of_changes_since(_moment(options["since"]))
    elif options["all"]:
        selection = Selection.of_all()
    else:
        selection = Selection()
    return selection.narrowed(program=options["program"], wallet=options["wallet"]).checked()


def _run_id(text: str) -> int:
    if text != "last":
        if not text.isdecimal():
            raise SelectionError(f"--run takes a number or 'last', not {text!r}.")
        return int(text)
    done = SyncRun.objects.exclude(status=SyncRun.Status.SKIPPED)
    last = done.order_by("-pk").values_list("pk", flat=True).first()
    if last is None:
        raise SelectionError("There is no run yet.")
    return last


def _moment(text: str) -> datetime:
    if match := _AGE.fullmatch(text):
        return timezone.now() - timedelta(**{_AGE_UNITS[match[2]]: int(match[1])})
    try:
        moment = parse_datetime(text) or datetime.fromisoformat(text)
    except ValueError as error:
        raise SelectionError(
            f"--since takes ISO 8601 or an age such as 2h or 3d, not {text!r}."
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.get_current_timezone())


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _stop_like_ctrl_c(signal_number: signal.Signals) -> None:
    """Let a polite kill finish and record what was begun."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal_number, signal.default_int_handler)


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
        if report.run_id is None:
            writer.writerows(
                (f.card_id, f.wallet, f.code, f.attempts, f.http_status, f.message)
                for f in report.failures
            )
        else:
            failures = SyncFailure.objects.filter(run=report.run_id).order_by("pk")
            writer.writerows(failures.values_list(*columns).iterator())
