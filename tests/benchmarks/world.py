"""A shop to measure: a scratch database, an emulated Google in a process of its own, and cards."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from itertools import islice
from types import TracebackType
from typing import Any, Self

import django
from django.db.models import F
from django.test import override_settings
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulatorProcess
from loyalty_wallet.models import (
    LoyaltyCard,
    LoyaltyProgram,
    LoyaltyTransaction,
    WalletPass,
    WalletProgram,
)
from loyalty_wallet.registry import get_wallets
from loyalty_wallet.sources import get_card_source
from loyalty_wallet.sync import touch
from loyalty_wallet.wallets.base import canonical_json, fingerprint
from loyalty_wallet.wallets.google import GoogleWallet
from tests.benchmarks.command import CONF_VARIABLE
from tests.benchmarks.databases import database_version, scratch_database
from tests.benchmarks.measure import BenchmarkError, cores, cpu_seconds_of, machine
from tests.benchmarks.rivals import Call, send_with_aiohttp

ALIAS = "google"
CHUNK_SIZE = 1000
BUSY_SHARE = 0.3
"""Load per core before the start above which the figures are not to be trusted."""


class World:
    """Everything a benchmark needs around the app; leaving it leaves nothing behind.

    `quota` is what the emulated Google allows per second and `requests_per_second` what the app
    allows itself, by default no limit; `options` are further ones of the wallet, and `conf` is the
    rest of LOYALTY_WALLET, as far as JSON can say it. The database that DATABASE_URL names is never
    touched: a scratch one is made beside it.
    """

    def __init__(
        self,
        *,
        latency_seconds: float = 0.0,
        quota: float | None = None,
        requests_per_second: float | None = None,
        options: Mapping[str, Any] | None = None,
        conf: Mapping[str, Any] | None = None,
    ) -> None:
        self.google = GoogleEmulatorProcess(
            requests_per_second=quota, latency_seconds=latency_seconds, log_bodies=False
        )
        self.environment: dict[str, str] = {}
        """What a child process needs in order to work on this world."""
        self._load_before = os.getloadavg()[0]
        self._options = {"requests_per_second": requests_per_second, **(options or {})}
        self._conf = conf or {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.environment["DATABASE_URL"] = stack.enter_context(scratch_database())
            stack.enter_context(self.google)
            options = {**self.google.wallet_options, **self._options}
            backend = f"{GoogleWallet.__module__}.{GoogleWallet.__qualname__}"
            wallet = {"BACKEND": backend, "OPTIONS": options}
            conf = {**self._conf, "WALLETS": {ALIAS: wallet}}
            stack.enter_context(override_settings(LOYALTY_WALLET=conf))
            self.environment[CONF_VARIABLE] = json.dumps(conf)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def wallet(self) -> GoogleWallet:
        wallet = get_wallets()[ALIAS]
        assert isinstance(wallet, GoogleWallet)
        return wallet

    @property
    def token(self) -> str:
        """An access token that the emulator takes."""
        return self.wallet.account.refresh(refused=None).value

    @property
    def facts(self) -> str:
        """What the figures depend on, and a warning if this machine has had other work to do."""
        software = f"Django {django.get_version()}, {database_version()}"
        facts = f"{machine()}, {software}, load before {self._load_before:.1f}"
        if self._load_before > BUSY_SHARE * cores():
            facts += (
                "\nThe machine was busy with something else: cores that are shared make times and "
                "CPU times longer, and the ratios waver: measure again when it is idle."
            )
        return facts

    @property
    def google_cpu_seconds(self) -> float:
        """What the emulator has taken so far: it must not be what is measured."""
        return cpu_seconds_of(self.google.pid)

    def requests_so_far(self) -> int:
        """Return how many requests have arrived at the emulator, tokens included."""
        count: int = self.google.state()["requests"]
        return count

    def seed(self, cards: int, *, at_google: bool = True) -> None:
        """Add cards, until there are so many, that changed long ago and are right on the phone.

        `at_google=False` leaves their objects out: no request about them is to be expected.
        """
        program = self._program(at_google=at_google)
        present = LoyaltyCard.objects.count()
        for first in range(present, cards, CHUNK_SIZE):
            numbers = range(first, min(first + CHUNK_SIZE, cards))
            LoyaltyCard.objects.bulk_create(
                LoyaltyCard(
                    program=program,
                    card_number=f"CARD-{number:07}",
                    holder_name=f"Ada Lovelace {number}",
                    points_balance=number,
                    stamps=number % 10,
                    tier="Gold",
                )
                for number in numbers
            )
            added = LoyaltyCard.objects.filter(card_number__gte=f"CARD-{numbers[0]:07}")
            added.update(updated_at=timezone.now() - timedelta(days=30))
            self._issue(added, at_google=at_google)

    def sell(self, cards: int | None = None) -> None:
        """Let the first so many cards, or all, earn a point now, in bulk, and mark them due.

        It leaves what as many calls of `card.record()` leave.
        """
        keys = list(LoyaltyCard.objects.order_by("pk").values_list("pk", flat=True)[:cards])
        sold_at = timezone.now()
        for chunk in _chunks(iter(keys)):
            LoyaltyCard.objects.filter(pk__in=chunk).update(
                points_balance=F("points_balance") + 1, updated_at=sold_at
            )
            LoyaltyTransaction.objects.bulk_create(
                LoyaltyTransaction(card_id=key, kind="earn", points=1, created_at=sold_at)
                for key in chunk
            )
            touch(str(key) for key in chunk)

    def patches(self) -> list[Call]:
        """Return a PATCH for each card as it is now, with the body that the sync would send."""
        root = f"{self.google.url}/walletobjects/v1/loyaltyObject"
        return [
            Call(
                "PATCH",
                f"{root}/{remote_id}?fields=id&prettyPrint=false",
                json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode(),
            )
            for remote_id, payload in self.payloads()
        ]

    def require_all_right(self) -> None:
        """Raise BenchmarkError unless Google shows every card exactly as it is now."""
        stored = self.google.objects
        wrong = [
            remote_id
            for remote_id, payload in self.payloads()
            if stored.pop(remote_id, None) != _present(payload)
        ]
        if wrong:
            raise BenchmarkError(
                f"{len(wrong)} cards are wrong at Google, the first is {wrong[0]}."
            )
        if stored:
            raise BenchmarkError(f"Google has {len(stored)} objects that belong to no card.")

    def count_right(self) -> int:
        """Return how many cards' points Google shows as they are now."""
        stored = self.google.objects
        return sum(
            stored.get(remote_id, {}).get("loyaltyPoints") == payload["loyaltyPoints"]
            for remote_id, payload in self.payloads()
        )

    def require_nothing_due(self) -> None:
        """Raise BenchmarkError if the database says that a phone is wrong."""
        if count := WalletPass.objects.filter(due_at__isnull=False).count():
            raise BenchmarkError(f"{count} passes are still due.")

    def _program(self, *, at_google: bool) -> LoyaltyProgram:
        program, is_new = LoyaltyProgram.objects.get_or_create(
            slug="coffee",
            defaults={
                "name": "Coffee Club",
                "kind": LoyaltyProgram.Kind.HYBRID,
                "issuer_name": "Corner Shop",
                "background_color": "#6f4e37",
                "reward": "The eleventh coffee is on us",
                "google_wallet": ALIAS,
                "apple_wallet": "",
            },
        )
        if is_new:
            shown = get_card_source().to_card(LoyaltyCard(program=program)).program
            class_id = self.wallet.program_id(shown.key)
            payload = self.wallet.render_program(shown, program_id=class_id)
            WalletProgram.objects.create(
                program_key=shown.key,
                wallet=ALIAS,
                remote_id=class_id,
                fingerprint=fingerprint(canonical_json(payload)),
                payload=payload,
                synced_at=timezone.now(),
            )
            if at_google:
                self._insert("loyaltyClass", [payload])
        return program

    def _issue(self, cards: Any, *, at_google: bool) -> None:
        """Make passes of these cards as a delivery leaves them."""
        source, wallet = get_card_source(), self.wallet
        passes = []
        for row in cards.prefetch_related("program"):
            card = source.to_card(row)
            remote_id = wallet.remote_id(WalletPass.new_suffix())
            program_id = wallet.program_id(card.program.key)
            payload = wallet.render(card, remote_id=remote_id, program_id=program_id)
            passes.append(
                WalletPass(
                    card_key=card.key,
                    wallet=ALIAS,
                    remote_id=remote_id,
                    program_key=card.program.key,
                    card_label=card.label,
                    synced_revision=1,
                    fingerprint=fingerprint(canonical_json(payload)),
                    payload=payload,
                    synced_at=timezone.now(),
                    last_outcome="created",
                )
            )
        WalletPass.objects.bulk_create(passes)
        if at_google:
            self._insert("loyaltyObject", [row.payload for row in passes])

    def _insert(self, kind: str, payloads: Sequence[Any]) -> None:
        url = f"{self.google.url}/walletobjects/v1/{kind}?fields=id&prettyPrint=false"
        bodies = (json.dumps(_present(payload)).encode() for payload in payloads)
        send_with_aiohttp([Call("POST", url, body) for body in bodies], self.token)

    def payloads(self) -> Iterator[tuple[str, Any]]:
        """Yield the id of each card's object and what it should be now."""
        source, wallet = get_card_source(), self.wallet
        remote_ids = WalletPass.objects.order_by("pk").values_list("card_key", "remote_id")
        for chunk in _chunks(remote_ids.iterator()):
            rows = {source.key_for(row): row for row in source.rows_for(key for key, _ in chunk)}
            for key, remote_id in chunk:
                card = source.to_card(rows[key])
                program_id = wallet.program_id(card.program.key)
                yield (
                    remote_id,
                    wallet.render(card, remote_id=remote_id, program_id=program_id),
                )


def _chunks(values: Iterator[Any]) -> Iterator[list[Any]]:
    while chunk := list(islice(values, CHUNK_SIZE)):
        yield chunk


def _present(payload: Any) -> dict[str, Any]:
    return {name: value for name, value in payload.items() if value is not None}
