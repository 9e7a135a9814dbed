"""An audit of thousands of cards: its requests and memory, and whether it finds what was planted.

The floor reads the same pages with bare aiohttp and does nothing with them. Memory is the growth
from an audit of a hundredth of the cards, each in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
from datetime import timedelta
from typing import Any

import aiohttp
from django.db.models import F

from loyalty_wallet.models import WalletPass
from loyalty_wallet.wallets.google.session import LISTED_FIELDS, PAGE_SIZE
from tests.benchmarks.command import run_command
from tests.benchmarks.measure import BenchmarkError, Cost, measured, promise, show
from tests.benchmarks.world import World

PROMISED_REQUESTS_PER_CARD = 0.011
PROMISED_MB = 20
PLANTED = ("different", "missing", "unknown")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cards", type=int, default=10_000, metavar="N", help="default 10,000")
    parser.add_argument(
        "--planted", type=int, default=20, metavar="N", help="differences of each kind, default 20"
    )
    parser.add_argument(
        "--latency", type=float, default=0.1, metavar="SECONDS", help="of each answer, default 0.1"
    )


def run(options: argparse.Namespace) -> None:
    small = max(1, options.cards // 100)
    with World() as world:
        world.seed(small)
        base, _ = _audit(world, {"equal": small})
        world.seed(options.cards)
        planted = _plant(world, options.planted)
        expected = {
            "equal": options.cards - len(planted["different"]) - len(planted["missing"]),
            **{kind: len(remote_ids) for kind, remote_ids in planted.items()},
        }
        world.google.set_latency(options.latency)
        before = world.requests_so_far()
        cost, report = _audit(world, expected)
        requests = world.requests_so_far() - before
        _require_found(report, planted)
        floor = _read_all(world)
        world.google.set_latency(0)
        run_command("sync_wallet_passes", "--no-progress", environment=world.environment)
        for remote_id in planted["unknown"]:
            world.google.forget_object(remote_id)
        world.require_all_right()
        facts = world.facts
    growth = cost.peak_mb - base.peak_mb
    most = math.ceil(options.cards * PROMISED_REQUESTS_PER_CARD)
    show(
        f"Audit of {options.cards:,} cards, {options.planted} differences of each kind planted",
        ("", "seconds", "CPU seconds", "peak MB", "ratio to the floor"),
        [
            (
                "wallet_audit",
                f"{cost.seconds:.2f}",
                f"{cost.cpu_seconds:.2f}",
                f"{cost.peak_mb:.1f}",
                f"{cost.seconds / floor.seconds:.2f}",
            ),
            (
                "the floor: bare aiohttp, nothing compared",
                f"{floor.seconds:.2f}",
                f"{floor.cpu_seconds:.2f}",
                "",
                "1.00",
            ),
        ],
        notes=[
            f"{requests} requests, the token's included (promised: at most {most}, "
            f"{promise(requests <= most)}).",
            f"{growth:+.1f} MB more than for {small:,} cards (promised: at most {PROMISED_MB} MB, "
            f"{promise(growth <= PROMISED_MB)}).",
            f"Found: all {3 * options.planted} planted differences and no other; the next sync mended "
            "what is ours.",
            facts,
        ],
    )


def _audit(world: World, expected: dict[str, int]) -> tuple[Cost, dict[str, Any]]:
    # Delivered long enough ago to be judged.
    WalletPass.objects.update(synced_at=F("synced_at") - timedelta(hours=1))
    # With --fix it ends well whatever it finds, and what it finds can be seen to be sent again.
    done = run_command("wallet_audit", "--fix", "--json", environment=world.environment)
    [report] = json.loads(done.output)
    counts = {name: report["counts"][name] for name in ("equal", *PLANTED)}
    if counts != {**dict.fromkeys(PLANTED, 0), **expected}:
        raise BenchmarkError(f"The audit counted {counts}, planted was {expected}.")
    return done.work, report


def _plant(world: World, count: int) -> dict[str, set[str]]:
    """Change, drop and add so many objects behind the app's back; return their ids."""
    remote_ids = list(WalletPass.objects.order_by("pk").values_list("remote_id", flat=True))
    step = max(1, len(remote_ids) // (2 * count))
    chosen = remote_ids[::step][: 2 * count]
    different, missing = set(chosen[::2]), set(chosen[1::2])
    for number, remote_id in enumerate(sorted(different)):
        change: dict[str, Any] = (
            {"state": "EXPIRED"}
            if number % 2
            else {"loyaltyPoints": {"label": "Points", "balance": {"int": -1}}}
        )
        world.google.edit_object(remote_id, **change)
    for remote_id in missing:
        world.google.forget_object(remote_id)
    unknown = {f"{world.wallet.issuer_id}.alien-{number}" for number in range(count)}
    payload = world.google.objects[min(different)]
    world._insert("loyaltyObject", [{**payload, "id": remote_id} for remote_id in unknown])
    return {"different": different, "missing": missing, "unknown": unknown}


def _require_found(report: dict[str, Any], planted: dict[str, set[str]]) -> None:
    found: dict[str, set[str]] = {kind: set() for kind in PLANTED}
    for finding in report["findings"]:
        found[finding["kind"]].add(finding["remote_id"])
    if found != planted:
        raise BenchmarkError("The audit found other passes than those that were planted.")


def _read_all(world: World) -> Cost:
    """Read all pages and do nothing with them."""
    class_id = world.wallet.program_id("coffee")
    root = f"{world.google.url}/walletobjects/v1/loyaltyObject"
    wanted = {
        "classId": class_id,
        "maxResults": str(PAGE_SIZE),
        "fields": f"resources({LISTED_FIELDS}),pagination/nextPageToken",
        "prettyPrint": "false",
    }

    async def read() -> None:
        headers = {"Authorization": f"Bearer {world.token}"}
        token = ""
        async with aiohttp.ClientSession(headers=headers) as session:
            while True:
                page = {**wanted, **({"token": token} if token else {})}
                async with session.get(root, params=page) as answer:
                    content = await answer.json()
                token = content.get("pagination", {}).get("nextPageToken", "")
                if not token:
                    return

    with measured() as cost:
        asyncio.run(read())
    return cost
