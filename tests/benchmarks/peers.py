"""Two hours of a shop with faults, beside an hourly loop, edutap.wallet-google, django-walletpass.

In the first hour every card has changed. Of each 20 cards one gets a 503 at each request and two at
the first; one answer in all is lost, one object or device is gone, and Google refuses one access
token. In the second hour nothing goes wrong any more and a tenth of the cards have changed. Each
contender runs its hourly task in a process of its own against the same emulators; the times are
those of the task without the start of the process. At Apple a card is right when its phone was told.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping, Sequence
from importlib.util import find_spec

from tests.benchmarks.command import run_command
from tests.benchmarks.measure import BenchmarkError, Cost, in_fresh_process, show
from tests.benchmarks.peer_hours import (
    AppleLoop,
    GoogleLoop,
    Outcome,
    two_hours_at_apple,
    two_hours_at_google,
)
from tests.benchmarks.peer_loops import (
    edutap_loop,
    plain_loop,
    walletpass_loop,
)
from tests.benchmarks.world import World

OURS = "loyalty_wallet"
CONTENDERS = 5
NO_RIVALS = "Rivals are missing: pip install -r tests/benchmarks/requirements-peers.txt"
LEAST_CARDS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cards", type=int, default=200, metavar="N", help="default 200")
    parser.add_argument(
        "--latency", type=float, default=0.1, metavar="SECONDS", help="of Google, default 0.1"
    )
    parser.add_argument(
        "--delays",
        type=float,
        nargs="+",
        default=[1, 4, 16],
        metavar="SECONDS",
        help="waits between attempts, ours and the plain loop's (default 1, 4 and 16)",
    )
    parser.add_argument(
        "--limit",
        type=float,
        default=600,
        metavar="SECONDS",
        help="after which an hourly task is stopped (default 600)",
    )


def run(options: argparse.Namespace) -> None:
    logging.getLogger("loyalty_wallet").setLevel(logging.WARNING)
    options.cards = max(options.cards, LEAST_CARDS)
    at_google: dict[str, Outcome] = {}
    for contender, loop in _google_contenders().items():
        with World(latency_seconds=0, conf={"RETRY_DELAYS": options.delays}) as world:
            at_google[contender] = two_hours_at_google(world, loop, options)
            facts = world.facts
    at_apple = {
        contender: two_hours_at_apple(loop, options)
        for contender, loop in _apple_contenders().items()
    }
    _require_all_right(at_google[OURS], at_apple[OURS])
    _show(
        f"Google: {options.cards} cards, {options.latency * 1000:.0f} ms a request",
        at_google,
        notes=[
            "The loops read the cards of the last hour's transactions from the same database and "
            "are given their content; ours renders, compares and keeps a record as well. edutap "
            "makes one attempt a card: that costs fewer requests, and cards. Ours asks for more: it "
            "tries again what had failed.",
        ],
    )
    _show(
        f"Apple: {options.cards} cards, each on a phone",
        at_apple,
        notes=[
            "django-walletpass signs a pass when it changes and pushes each time that it saves it, "
            "with a new connection and a new token; ours signs when the phone comes. Requests are "
            "pushes.",
            f"Waits between attempts: {', '.join(f'{delay:g}' for delay in options.delays)} s.",
            *([] if len(at_google) + len(at_apple) == CONTENDERS else [NO_RIVALS]),
            facts,
        ],
    )


def _require_all_right(*outcomes: Outcome) -> None:
    for outcome in outcomes:
        if outcome.right[-1] != outcome.cards:
            raise BenchmarkError(f"Of {outcome.cards} cards {outcome.right[-1]} of ours are right.")


def _show(title: str, outcomes: Mapping[str, Outcome], *, notes: Sequence[str]) -> None:
    ours = outcomes[OURS]
    show(
        title,
        (
            "",
            "right, hour 1",
            "right, hour 2",
            "requests",
            "tokens",
            "seconds",
            "ratio",
            "CPU s",
            "ratio",
            "MB",
        ),
        [
            (
                name,
                *(f"{right} of {one.cards}" for right in one.right),
                f"{one.requests:,}",
                f"{one.tokens:,}",
                f"{one.seconds:.1f}",
                f"{one.seconds / ours.seconds:.1f}",
                f"{one.cpu_seconds:.2f}",
                f"{one.cpu_seconds / ours.cpu_seconds:.1f}",
                f"{one.peak_mb:.0f}",
            )
            for name, one in outcomes.items()
        ],
        notes=notes,
    )


def _google_contenders() -> dict[str, GoogleLoop]:
    contenders: dict[str, GoogleLoop] = {
        OURS: lambda hour: _sync(hour.environment),
        "a plain loop": lambda hour: in_fresh_process(plain_loop, hour),
    }
    if find_spec("edutap") and find_spec("edutap.wallet_google"):
        contenders["edutap.wallet-google"] = lambda hour: in_fresh_process(edutap_loop, hour)
    return contenders


def _apple_contenders() -> dict[str, AppleLoop]:
    contenders: dict[str, AppleLoop] = {OURS: lambda _hour, environment: _sync(environment)}
    if find_spec("django_walletpass"):
        contenders["django-walletpass"] = lambda hour, _environment: in_fresh_process(
            walletpass_loop, hour
        )
    return contenders


def _sync(environment: Mapping[str, str]) -> Cost:
    return run_command(
        "sync_wallet_passes",
        "--json",
        "--no-progress",
        "--no-fail-on-error",
        environment=environment,
    ).work
