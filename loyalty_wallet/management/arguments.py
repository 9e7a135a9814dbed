"""What `sync_wallet_passes` can be told, and the selection that it makes of it."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from ..exceptions import SelectionError
from ..models import SyncRun
from ..sync import Selection
from ..sync.explaining.lookup import find_card_keys
from ..sync.selection import Kind

FROM_STDIN = "-"
MOST_KEYS_TO_PASTE = 20

_AGE = re.compile(r"(\d+)([smhd])")
_AGE_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def add_arguments(parser: CommandParser) -> None:
    what = parser.add_argument_group("what to sync (default: everything due)")
    only_one = what.add_mutually_exclusive_group()
    only_one.add_argument(
        "--card",
        nargs="+",
        action="extend",
        metavar="KEY",
        dest="cards",
        help=(
            "these cards, due or not: key, card number, Google object id or Apple serial number; "
            "'-' reads them from standard input, one a line"
        ),
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
        "-n",
        "--dry-run",
        action="store_true",
        help="no request, no write: what would be sent, how long that takes, what differs",
    )
    how.add_argument(
        "--differences",
        type=_count,
        default=3,
        metavar="N",
        help="with --dry-run: show field by field what the first N cards would get (default 3)",
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


def selection_of(options: dict[str, Any]) -> Selection:
    """Return what the options select. Raises SelectionError when they name what does not exist."""
    if options["cards"]:
        selection = Selection.of_cards(find_card_keys(_texts(options["cards"])))
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


def line_to_go_on(selection: Selection, *, notify: bool = False) -> str:
    """Return the line that takes up what a run of this selection has left.

    What was selected has been marked as due by that run, with `--force` as well: where the same
    selection would begin again from the start, the plain command goes on.
    """
    words = ["python", "manage.py", "sync_wallet_passes"]
    match selection.kind:
        case Kind.CARDS if len(selection.cards) <= MOST_KEYS_TO_PASTE:
            words += ["--card", *selection.cards]
        case Kind.FAILED:
            words.append("--failed")
        case Kind.RUN:
            words += ["--run", str(selection.run_id)]
    if selection.program:
        words += ["--program", selection.program]
    if selection.wallet:
        words += ["--wallet", selection.wallet]
    if notify:
        words.append("--notify")
    return shlex.join(words)


def _texts(given: Iterable[str]) -> Iterator[str]:
    for text in given:
        if text != FROM_STDIN:
            yield text
            continue
        lines = [line.strip() for line in sys.stdin]
        if not any(lines):
            raise SelectionError("--card -: standard input names no card.")
        yield from filter(None, lines)


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


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number
