"""The story that the demo tells, and what must be true after each of its steps."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from django.core.management import call_command
from django.db import connection

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, SyncFailure, SyncRun, WalletPass
from loyalty_wallet.sync import Selection, SyncReport, sync_wallet_passes

from . import shop as corner
from .google import FAST_LADDER, LADDER, wrong_phones
from .screen import Screen
from .shop import ALIAS, SLUG, Shop

GOOGLES_REQUESTS_PER_SECOND = 20
TOO_MANY_POINTS = 5_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What goes wrong with one card, and the failure code expected of it; none if it gets well."""

    card: LoyaltyCard
    name: str
    what: str
    code: str = ""


def prepare_database(screen: Screen, *, any_database: bool) -> None:
    """Migrate the database and empty it of an earlier demo. Raises CommandError if it is not ours."""
    corner.refuse_foreign_data(any_database=any_database)
    screen.step(f"Prepare the database {_database_name()}.")
    call_command("migrate", verbosity=0, interactive=False)
    corner.refuse_foreign_data(any_database=any_database)
    corner.claim_database()
    if count := corner.clear():
        screen.say(f"The {count} cards of the last demo are removed.")


class Story:
    """Tells it step by step; `problems` says where it went differently than told."""

    def __init__(
        self, screen: Screen, google: GoogleEmulator, shop: Shop, *, is_fast: bool
    ) -> None:
        self.problems: list[str] = []
        self._screen = screen
        self._google = google
        self._shop = shop
        self._ladder = FAST_LADDER if is_fast else LADDER
        self._troubles: list[Trouble] = []
        self._started = time.monotonic()

    def tell(self, size: int) -> None:
        """Open a shop of so many cards and tell the whole story."""
        self._open(size)
        self._sync_for_the_first_time()
        self._let_customers_shop()
        self._break_things()
        failed = self._sync_in_trouble()
        healed = self._heal(failed)
        self._look_back(failed, healed)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def _open(self, size: int) -> None:
        self._step("Open a shop with loyalty cards, and a Google Wallet to put them in.")
        transactions = self._shop.open(size)
        self._screen.say(f"{size} cards of the Corner Coffee Club, {transactions} transactions.")
        self._screen.say(f"An emulated Google at {self._google.url}, on this machine only.")

    def _sync_for_the_first_time(self) -> None:
        self._step("First sync: create every card at Google.")
        size = len(self._shop.cards)
        report = self._sync()
        requests = report.wallets[ALIAS]["requests"]
        self._screen.say(
            f"{requests} requests: {requests / GOOGLES_REQUESTS_PER_SECOND:.0f} s at Google's limit"
            f" of {GOOGLES_REQUESTS_PER_SECOND} a second, which is lifted here."
        )
        self._expect_cards(report, synced=size, failed=0)
        self._expect_wrong(0)

    def _let_customers_shop(self) -> None:
        count = max(8, len(self._shop.cards) // 4)
        self._step(f"{count} customers buy a coffee: card.record('earn', points=..., stamps=1).")
        self._customers = self._shop.pick(count)
        for card in self._customers:
            self._shop.serve(card)
        self._screen.say("Each balance has moved, and its pass is marked as due.")
        self._expect_wrong(count)

    def _break_things(self) -> None:
        self._step("Five things go wrong, on purpose.")
        down, refused, silent, huge = self._customers[:4]
        customers = {card.pk for card in self._customers}
        bypassed = next(card for card in self._shop.cards if card.pk not in customers)
        self._google.fail(
            object_id=down.google_object_id, message="The service is currently unavailable."
        )
        self._google.fail(
            object_id=refused.google_object_id, status=400, message="Invalid value: accountName"
        )
        self._google.misbehave("hang", object_id=silent.google_object_id, times=1)
        huge.record("adjust", points=TOO_MANY_POINTS, reference="typing error")
        self._shop.import_behind_our_back(bypassed, points=250)
        self._troubles = [
            Trouble(
                card=down,
                name="503, every time",
                what="Google answers 503, every time",
                code="unavailable",
            ),
            Trouble(
                card=refused,
                name="refused with 400",
                what="Google refuses the card with 400",
                code="rejected",
            ),
            Trouble(
                card=huge,
                name="5 billion points",
                what="a typing error gives it 5 billion points",
                code="invalid_card",
            ),
            Trouble(card=silent, name="no answer, once", what="Google does not answer, once"),
            Trouble(
                card=bypassed,
                name="moved by bulk SQL",
                what="an import moves its balance by SQL, past the app",
            ),
        ]
        for trouble in self._troubles:
            self._screen.say(f"  {_name(trouble.card):<24}{trouble.what}")

    def _sync_in_trouble(self) -> SyncReport:
        self._step("The hourly sync, as cron or Celery would run it: sync_wallet_passes")
        first, second, third = self._ladder
        self._screen.say(
            f"It tries a card again after {first:g}, {second:g} and {third:g} s,"
            f" so it takes about {sum(self._ladder):.0f} s."
        )
        requests = self._count_requests()
        report = self._sync()
        expected = {_key(trouble): trouble.code for trouble in self._troubles if trouble.code}
        found = {failure.card_id: failure.code for failure in report.failures}
        self._expect(found == expected, f"expected the failures {expected}, found {found}")
        # The one that was moved by SQL was not among the customers; discovery must have found it.
        due = len(self._customers) + 1
        self._expect_cards(report, synced=due - len(expected), failed=len(expected))
        wrong = self._expect_wrong(len(expected))
        self._expect(wrong == set(expected), "other phones are wrong than those of the failures")
        more = self._count_requests()
        self._tries = {key: more[key] - requests[key] for key in requests}
        self._screen.say("The others did not wait for the three that failed.")
        return report

    def _heal(self, failed: SyncReport) -> SyncReport:
        self._step(
            f"Google recovers and the error is corrected: sync_wallet_passes --run {failed.run_id}"
        )
        self._google.heal()
        for trouble in self._troubles:
            if trouble.code == "invalid_card":
                trouble.card.record("void", points=-TOO_MANY_POINTS, reference="typing error")
        if failed.run_id is None:
            raise TypeError("A sync over everything is always on record.")
        self._screen.say("Those three only. The next hourly sync would have mended them, too.")
        report = self._sync(Selection.of_run(failed.run_id))
        self._expect_cards(report, synced=failed.cards["failed"], failed=0)
        self._expect_wrong(0)
        return report

    def _look_back(self, failed: SyncReport, healed: SyncReport) -> None:
        self._step("What became of the five.")
        failures = SyncFailure.objects.filter(run=failed.run_id)
        resolved = {
            failure.wallet_pass.card_key: failure.resolved_by_id
            for failure in failures.select_related("wallet_pass")
        }
        wrong = {card.key for card in wrong_phones(self._google, self._shop.cards)}
        rows = []
        for trouble in self._troubles:
            key = _key(trouble)
            run = resolved.get(key) or failed.run_id
            rows.append(
                (
                    _name(trouble.card),
                    trouble.name,
                    str(self._tries[key]),
                    trouble.code or "no failure",
                    "still wrong" if key in wrong else f"in run {run}",
                )
            )
        self._screen.table(("card", "trouble", "sent", "recorded as", "right"), rows)
        self._expect(
            set(resolved.values()) == {healed.run_id}, f"failures are not resolved: {resolved}"
        )
        due = WalletPass.objects.filter(program_key=SLUG, due_at__isnull=False).count()
        self._expect(due == 0, f"{due} passes are still due")

    def _step(self, title: str) -> None:
        corner.keep_claim()
        self._screen.step(title)

    def _sync(self, selection: Selection | None = None) -> SyncReport:
        with self._screen.progress() as on_progress:
            report = sync_wallet_passes(
                trigger=SyncRun.Trigger.COMMAND, selection=selection, on_progress=on_progress
            )
        self._screen.summary(report)
        return report

    def _expect_cards(self, report: SyncReport, **expected: int) -> None:
        found = {name: report.cards[name] for name in expected}
        self._expect(
            found == expected,
            f"run {report.run_id} ({report.status}): expected {expected}, found {found}",
        )

    def _expect_wrong(self, expected: int) -> set[str]:
        wrong = {card.key for card in wrong_phones(self._google, self._shop.cards)}
        total = len(self._shop.cards)
        self._screen.count_phones(total - len(wrong), total)
        self._expect(
            len(wrong) == expected, f"expected {expected} wrong phones, found {len(wrong)}"
        )
        return wrong

    def _expect(self, is_so: bool, problem: str) -> None:
        if not is_so:
            self.problems.append(problem)
            self._screen.say(f"Not as told: {problem}.", style="bold red")

    def _count_requests(self) -> Mapping[str, int]:
        """Count the requests so far about each card in trouble."""
        return {
            _key(trouble): len(self._google.requests_for(trouble.card.google_object_id))
            for trouble in self._troubles
        }


def _key(trouble: Trouble) -> str:
    return trouble.card.key


def _name(card: LoyaltyCard) -> str:
    return f"{card.card_number} {card.holder_name}"


def _database_name() -> str:
    name = str(connection.settings_dict["NAME"])
    return Path(name).name if connection.vendor == "sqlite" else name
