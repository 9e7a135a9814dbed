"""The web service's answers a second, and a storm of 1,000 phones after 1,000 pushes.

The reference project is served by gunicorn; phones call it over sockets. The floor of an answer is
a view that does nothing, and of the storm one that sends as many bytes: what is beyond it is ours.
The storm follows a sync of as many changed cards: each phone comes when its push came, lists,
fetches, and must get the newest version, signed. A wrong answer anywhere ends the benchmark.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import django
from django.db.models import F
from django.test import override_settings
from django.utils import timezone

from loyalty_wallet.emulator.apple import ApnsEmulator, Authority
from loyalty_wallet.emulator.apple.signatures import open_pass
from loyalty_wallet.models import (
    AppleDevice,
    AppleRegistration,
    LoyaltyCard,
    LoyaltyProgram,
    WalletPass,
)
from loyalty_wallet.sync import issue, sync_wallet_passes, touch
from tests.benchmarks.command import CONF_VARIABLE
from tests.benchmarks.databases import database_version, scratch_database
from tests.benchmarks.measure import BenchmarkError, in_fresh_process, machine, show
from tests.benchmarks.phones import Ask, PhoneState, Rate, Storm, ask_for, fetch_all, update_all
from tests.benchmarks.served import (
    BYTES_PATH,
    EMPTY_PATH,
    PROCESSES,
    THREADS,
    listening,
    served,
    url_of,
)

PASS_TYPE, TEAM = "pass.com.example.loyalty", "ABCDE12345"
CONNECTIONS = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--phones", type=int, default=1000, metavar="N", help="default 1,000")
    parser.add_argument("--seconds", type=float, default=2, help="for each rate (default 2)")


def run(options: argparse.Namespace) -> None:
    logging.getLogger("loyalty_wallet").setLevel(logging.WARNING)
    with _shop(options.phones) as shop:
        phones = shop.phones()
        rates = {
            name: in_fresh_process(ask_for, asks, seconds=options.seconds, connections=CONNECTIONS)
            for name, asks in _questions(shop, phones).items()
        }
        pushed_after = shop.sell()
        storm, updated = in_fresh_process(update_all, phones, pushed_after)
        _require_news(shop, updated, storm)
        size = len(updated[0].archive)
        floor = in_fresh_process(
            fetch_all,
            [(f"{shop.url}/{EMPTY_PATH}", f"{shop.url}/{BYTES_PATH}?count={size}")] * len(phones),
            pushed_after,
        )
    _show_rates(rates)
    _show_storm(storm, floor, size, pushed_after)


class Shop:
    """Cards in Apple Wallet, each on a phone of its own, and an APNs that takes its pushes."""

    def __init__(self, url: str, authority: Authority, apns: ApnsEmulator) -> None:
        self.url = url
        self.authority = authority
        self._apns = apns

    def open(self, cards: int) -> None:
        """Issue the cards and put them on phones, as they are after a sync."""
        program = LoyaltyProgram.objects.create(
            slug="coffee", name="Coffee Club", issuer_name="Corner Shop", google_wallet=""
        )
        made = LoyaltyCard.objects.bulk_create(
            LoyaltyCard(program=program, card_number=f"CARD-{number:07}") for number in range(cards)
        )
        issue(card.key for card in made)
        self._sync()
        now = timezone.now()
        passes = list(WalletPass.objects.order_by("pk"))
        devices = AppleDevice.objects.bulk_create(
            AppleDevice(
                device_library_identifier=f"{row.pk:032x}",
                pass_type_identifier=PASS_TYPE,
                push_token=f"{row.pk:064x}",
                token_refreshed_at=now,
            )
            for row in passes
        )
        AppleRegistration.objects.bulk_create(
            AppleRegistration(
                device=device,
                wallet_pass=row,
                pushed_tag=row.change_tag,
                listed_tag=row.change_tag,
                fetched_tag=row.change_tag,
            )
            for device, row in zip(devices, passes, strict=True)
        )

    def phones(self) -> list[PhoneState]:
        """Return the phones in the order of their passes, up to date."""
        return [
            PhoneState(
                root=f"{self.url}/wallet/apple",
                pass_type=PASS_TYPE,
                serial_number=row.remote_id,
                token=row.authentication_token,
                device=f"{row.pk:032x}",
                push_token=f"{row.pk:064x}",
                tag=str(row.change_tag),
                last_modified=_http_date(row),
            )
            for row in WalletPass.objects.order_by("pk").defer("payload")
        ]

    def sell(self) -> list[float]:
        """Let every card change, sync, and return when each phone's push came, from the first."""
        # Long enough ago for the versions to have seconds of their own.
        LoyaltyCard.objects.update(points_balance=F("points_balance") + 5)
        touch(str(pk) for pk in LoyaltyCard.objects.values_list("pk", flat=True))
        self._sync()
        arrivals = {push.push_token: push.at for push in self._apns.pushes}
        cards = LoyaltyCard.objects.count()
        if len(arrivals) != cards:
            raise BenchmarkError(f"Of {cards} phones {len(arrivals)} were pushed.")
        first = min(arrivals.values())
        return [(at - first) / timedelta(seconds=1) for _, at in sorted(arrivals.items())]

    def _sync(self) -> None:
        report = sync_wallet_passes()
        if report.status != "succeeded":
            raise BenchmarkError(f"The sync {report.status}: {report.error}{report.failures[:1]}")


@contextmanager
def _shop(cards: int) -> Iterator[Shop]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="loyalty-wallet-")))
        authority = Authority(pass_type_identifier=PASS_TYPE, team_identifier=TEAM)
        authority.write(folder)
        database_url = stack.enter_context(scratch_database())
        apns = stack.enter_context(ApnsEmulator(authority, validates_headers=False))
        taken = stack.enter_context(listening())
        conf = {
            "WALLETS": {"apple": wallet_setting(folder, f"{url_of(taken)}/wallet/apple", apns.url)}
        }
        stack.enter_context(override_settings(LOYALTY_WALLET=conf))
        shop = Shop(url_of(taken), authority, apns)
        shop.open(cards)
        environment = {"DATABASE_URL": database_url, CONF_VARIABLE: json.dumps(conf)}
        stack.enter_context(served(taken, environment))
        yield shop


def wallet_setting(folder: Path, web_service_url: str, apns_url: str) -> dict[str, Any]:
    """Return what LOYALTY_WALLET says of an Apple wallet with the authority's files there."""
    options = {
        "pass_type_identifier": PASS_TYPE,
        "team_identifier": TEAM,
        "certificate": str(folder / "certificate.pem"),
        "private_key": str(folder / "private_key.pem"),
        "wwdr_certificate": str(folder / "wwdr.pem"),
        "web_service_url": web_service_url,
        "apns_url": apns_url,
        "apns_ca": str(folder / "root.pem"),
    }
    return {"BACKEND": "loyalty_wallet.wallets.apple.AppleWallet", "OPTIONS": options}


def _questions(shop: Shop, phones: Sequence[PhoneState]) -> dict[str, list[Ask]]:
    """Return what is asked over and over, by what it is answered with; the floor comes first."""
    unknown = {"If-Modified-Since": "never"}
    return {
        "the floor: a view that does nothing, 204": [
            Ask(url=f"{shop.url}/{EMPTY_PATH}", status=204)
        ],
        "a pass that the phone has, 304": [
            Ask(url=phone.pass_url, headers=phone.headers, status=304) for phone in phones
        ],
        "a list without news, 204": [Ask(url=phone.list_url, status=204) for phone in phones],
        "a list with news, 200": [
            Ask(url=phone.list_url.partition("?")[0], status=200) for phone in phones
        ],
        "a pass, signed, 200": [
            Ask(url=phone.pass_url, headers={**phone.headers, **unknown}, status=200)
            for phone in phones
        ],
    }


def _require_news(shop: Shop, phones: Sequence[PhoneState], storm: Storm) -> None:
    """Raise BenchmarkError unless every phone that was served shows what its card has now."""
    if storm.errors:
        raise BenchmarkError(f"{len(storm.errors)} phones failed, first: {storm.errors[0]}")
    root = shop.authority.root.certificate
    wrong = [
        phone.serial_number
        for phone in phones
        if open_pass(phone.archive, root)["storeCard"]["headerFields"][0]["value"] != 5
    ]
    behind = AppleRegistration.objects.filter(news_since__isnull=False).count()
    if wrong or behind:
        raise BenchmarkError(f"{len(wrong)} phones show an old balance; {behind} are behind.")


def _show_rates(rates: dict[str, Rate]) -> None:
    floor = next(iter(rates.values()))
    show(
        f"Answers of the web service, over {CONNECTIONS} connections",
        ("", "a second", "ratio to the floor", "p50 ms", "p95 ms"),
        [
            (
                name,
                f"{rate.a_second:,.0f}",
                f"{rate.a_second / floor.a_second:.2f}",
                f"{1000 * statistics.median(rate.times):.1f}",
                f"{1000 * _p95(rate.times):.1f}",
            )
            for name, rate in rates.items()
        ],
        notes=[],
    )


def _show_storm(storm: Storm, floor: Storm, size: int, pushed_after: Sequence[float]) -> None:
    phones = len(pushed_after)
    show(
        f"{phones:,} phones, pushed within {max(pushed_after):.1f} s: from push to pass",
        ("", "p50 s", "p95 s", "longest s", "errors", "ratio of p95"),
        [
            (
                name,
                f"{statistics.median(one.times):.2f}",
                f"{_p95(one.times):.2f}",
                f"{max(one.times):.2f}",
                str(len(one.errors)),
                f"{_p95(one.times) / _p95(floor.times):.2f}",
            )
            for name, one in (
                ("the floor: two requests to views that do nothing", floor),
                ("list and fetch, signed on demand", storm),
            )
        ],
        notes=[
            f"Every phone got its newest version, {size:,} bytes, and its signature holds: "
            f"{phones / storm.seconds:,.0f} phones a second, {len(storm.errors)} errors.",
            f"gunicorn, {PROCESSES} processes of {THREADS} threads with lasting database "
            f"connections, beside the phones on the same {machine()}, Django "
            f"{django.get_version()}, {database_version()}.",
        ],
    )


def _p95(times: Sequence[float]) -> float:
    return sorted(times)[max(0, round(0.95 * len(times)) - 1)]


def _http_date(row: WalletPass) -> str:
    if row.modified_at is None:
        raise BenchmarkError("A pass has no version.")
    return format_datetime(row.modified_at, usegmt=True)
