"""Two hours of the shop of `peers`: what changes, what goes wrong, and what is right in the end."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.db.models import F
from django.test import override_settings
from django.utils import timezone

from loyalty_wallet.emulator.apple import ApnsEmulator, Authority
from loyalty_wallet.models import LoyaltyCard, LoyaltyTransaction, WalletPass
from loyalty_wallet.sync import touch
from loyalty_wallet.wallets.apple.payloads import store_card
from loyalty_wallet.wallets.base import Payload
from tests.benchmarks.command import CONF_VARIABLE
from tests.benchmarks.databases import scratch_database
from tests.benchmarks.measure import Cost
from tests.benchmarks.outage_shape import ALWAYS, ONCE, PERIOD
from tests.benchmarks.peer_loops import Hour, PushHour
from tests.benchmarks.pkpass import PASS_TYPE, TEAM, example_card
from tests.benchmarks.webservice import Shop, wallet_setting
from tests.benchmarks.world import World

LOST, GONE, REFUSED = 5, 8, 10
"""Cards to which something else happens, once."""
SHARE_OF_SECOND_HOUR = 10
URL = "https://shop.example/wallet/apple"

GoogleLoop = Callable[[Hour], Cost]
AppleLoop = Callable[[PushHour, Mapping[str, str]], Cost]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What two hours came to."""

    cards: int
    right: tuple[int, int]
    """After the first hour and after the second."""
    requests: int
    tokens: int
    hours: Sequence[Cost]

    @property
    def seconds(self) -> float:
        return sum(hour.seconds for hour in self.hours)

    @property
    def cpu_seconds(self) -> float:
        return sum(hour.cpu_seconds for hour in self.hours)

    @property
    def peak_mb(self) -> float:
        return max(hour.peak_mb for hour in self.hours)


# --- Google ---------------------------------------------------------------------------------------


def two_hours_at_google(world: World, loop: GoogleLoop, options: argparse.Namespace) -> Outcome:
    """Let a contender work on the emulated Google, in whose empty world it finds its cards."""
    world.seed(options.cards)
    requests, tokens = world.requests_so_far(), len(world.google.token_requests)
    with tempfile.TemporaryDirectory(prefix="loyalty-wallet-benchmark-") as folder:
        credentials = Path(folder) / "service-account.json"
        credentials.write_text(json.dumps(world.google.service_account))

        def work() -> Cost:
            world.google.set_latency(options.latency)
            cost = loop(
                Hour(
                    environment=world.environment,
                    payloads=dict(world.payloads()),
                    url=world.google.url,
                    credentials=credentials,
                    delays=options.delays,
                    limit=options.limit,
                )
            )
            world.google.set_latency(0)
            return cost

        world.sell()
        _break_google(world)
        first = work()
        right = world.count_right()
        world.google.heal()
        _let_an_hour_pass()
        world.sell(options.cards // SHARE_OF_SECOND_HOUR)
        second = work()
    now_tokens = len(world.google.token_requests) - tokens
    return Outcome(
        cards=options.cards,
        right=(right, world.count_right()),
        requests=world.requests_so_far() - requests - now_tokens,
        tokens=now_tokens,
        hours=(first, second),
    )


def _break_google(world: World) -> None:
    remote_ids = list(WalletPass.objects.order_by("pk").values_list("remote_id", flat=True))
    for number, remote_id in enumerate(remote_ids):
        if number % PERIOD in ALWAYS:
            world.google.fail(object_id=remote_id)
        elif number % PERIOD in ONCE:
            world.google.fail(object_id=remote_id, times=1)
    world.google.misbehave("close_after", object_id=remote_ids[LOST], times=1)
    world.google.forget_object(remote_ids[GONE])
    world.google.fail(object_id=remote_ids[REFUSED], times=1, status=401)


def _let_an_hour_pass() -> None:
    hour = timedelta(hours=1, minutes=1)
    LoyaltyTransaction.objects.update(created_at=F("created_at") - hour)
    LoyaltyCard.objects.update(updated_at=F("updated_at") - hour)


# --- Apple ----------------------------------------------------------------------------------------


def two_hours_at_apple(loop: AppleLoop, options: argparse.Namespace) -> Outcome:
    """Let a contender push to an emulated APNs: with the setting that its second argument has."""
    authority = Authority(pass_type_identifier=PASS_TYPE, team_identifier=TEAM)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="loyalty-wallet-")))
        authority.write(folder)
        (folder / "push_key.p8").write_bytes(authority.push_key_pem)
        database_url = stack.enter_context(scratch_database())
        apns = stack.enter_context(ApnsEmulator(authority))
        setting = wallet_setting(folder, URL, apns.url)
        # Both authenticate as django-walletpass does.
        setting["OPTIONS"] |= {
            "push_key": str(folder / "push_key.p8"),
            "push_key_id": authority.push_key_id,
        }
        conf = {"WALLETS": {"apple": setting}, "RETRY_DELAYS": options.delays}
        stack.enter_context(override_settings(LOYALTY_WALLET=conf))
        Shop(URL, authority, apns).open(options.cards)
        keys = list(LoyaltyCard.objects.order_by("pk").values_list("pk", flat=True))
        tokens = [
            f"{pk:064x}" for pk in WalletPass.objects.order_by("pk").values_list("pk", flat=True)
        ]
        changed_at = dict.fromkeys(tokens, timezone.now())

        def work(cards: int) -> Cost:
            LoyaltyCard.objects.filter(pk__in=keys[:cards]).update(
                points_balance=F("points_balance") + 5
            )
            touch(str(pk) for pk in keys[:cards])
            changed_at.update(dict.fromkeys(tokens[:cards], timezone.now()))
            return loop(
                PushHour(
                    folder=folder,
                    url=apns.url,
                    options=setting["OPTIONS"],
                    tokens=tokens,
                    changed=range(cards),
                    payload=_pass_content(),
                    limit=options.limit,
                ),
                {"DATABASE_URL": database_url, CONF_VARIABLE: json.dumps(conf)},
            )

        def told() -> int:
            at = {push.push_token: push.at for push in apns.pushes if push.status == 200}
            # The phone that has left needs to hear nothing.
            gone = tokens[GONE]
            return sum(
                token == gone or (token in at and at[token] >= changed_at[token])
                for token in tokens
            )

        _break_apple(apns, tokens)
        first = work(options.cards)
        right = told()
        apns.heal()
        apns.fail(tokens[GONE], "unregistered")
        second = work(options.cards // SHARE_OF_SECOND_HOUR)
        return Outcome(
            cards=options.cards,
            right=(right, told()),
            requests=len(apns.pushes),
            tokens=len({push.headers.get("authorization") for push in apns.pushes}),
            hours=(first, second),
        )


def _break_apple(apns: ApnsEmulator, tokens: Sequence[str]) -> None:
    for number, token in enumerate(tokens):
        if number % PERIOD in ALWAYS:
            apns.fail(token, "service_unavailable")
        elif number % PERIOD in ONCE:
            apns.fail(token, "service_unavailable", times=1)
    apns.fail(tokens[LOST], "reset_stream", times=1)
    apns.fail(tokens[GONE], "unregistered")


def _pass_content() -> Payload:
    return store_card(
        example_card(0),
        serial_number="0f3c",
        pass_type_identifier=PASS_TYPE,
        team_identifier=TEAM,
        web_service_url=URL,
    )
