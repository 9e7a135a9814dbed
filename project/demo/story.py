"""The story that the demo tells, and what must be true after each of its steps."""

from __future__ import annotations

import time
from dataclasses import dataclass

from django.core.management import call_command

from loyalty_wallet.models import LoyaltyCard, SyncFailure, SyncRun, WalletPass
from loyalty_wallet.sync import Selection, SyncReport, sync_card_to_wallets, sync_wallet_passes

from . import shop as corner
from .screen import Screen
from .shop import APPLE, GOOGLE, SLUG, Shop
from .wallets import FAST_LADDER, LADDER, Providers

GOOGLES_REQUESTS_PER_SECOND = 20
TOO_MANY_POINTS = 5_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What goes wrong with one card, and the failure code expected of it; none if it gets well."""

    card: LoyaltyCard
    name: str
    what: str
    wallet: str = GOOGLE
    code: str = ""


def prepare_database(screen: Screen, *, any_database: bool) -> None:
    """Migrate the database and empty it of an earlier demo. Raises CommandError if it is not ours."""
    corner.refuse_foreign_data(any_database=any_database)
    screen.step(f"Prepare the database {corner.database_name()}.")
    call_command("migrate", verbosity=0, interactive=False)
    corner.refuse_foreign_data(any_database=any_database)
    corner.claim_database()
    if count := corner.clear():
        screen.say(f"The {count} cards of the last demo are removed.")


class Story:
    """Tells it step by step; `problems` says where it went differently than told."""

    def __init__(self, screen: Screen, providers: Providers, shop: Shop, *, is_fast: bool) -> None:
        self.problems: list[str] = []
        self._screen = screen
        self._providers = providers
        self._google = providers.google
        self._iphones = providers.iphones
        self._shop = shop
        self._ladder = FAST_LADDER if is_fast else LADDER
        self._troubles: list[Trouble] = []
        self._started = time.monotonic()

    def tell(self, size: int) -> None:
        """Open a shop of so many cards and tell the whole story."""
        self._open(size)
        self._sync_for_the_first_time()
        self._hand_out()
        self._let_customers_shop()
        self._break_things()
        failed = self._sync_in_trouble()
        healed = self._heal(failed)
        self._look_back(failed, healed)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def _open(self, size: int) -> None:
        self._step("Open a shop with loyalty cards, and two wallets to put them in.")
        transactions = self._shop.open(size)
        self._screen.say(f"{size} cards of the Corner Coffee Club, {transactions} transactions.")
        self._screen.say(f"An emulated Google at {self._google.url}, on this machine only,")
        self._screen.say(f"and an emulated push service of Apple's at {self._iphones.apns.url}.")

    def _sync_for_the_first_time(self) -> None:
        self._step("First sync: create every card at Google, and render every pass for Apple.")
        size = len(self._shop.cards)
        report = self._sync()
        requests = report.wallets[GOOGLE]["requests"]
        self._screen.say(
            f"{requests} requests to Google: {requests / GOOGLES_REQUESTS_PER_SECOND:.0f} s at its limit"
            f" of {GOOGLES_REQUESTS_PER_SECOND} a second, which is lifted here."
        )
        self._expect_cards(report, synced=size, failed=0)
        self._expect_wrong(0)

    def _hand_out(self) -> None:
        self._owners = self._shop.pick(max(4, len(self._shop.cards) // 10))
        self._step(f"{len(self._owners)} customers add the card to their iPhones.")
        self._iphones.hand_out(self._owners)
        self._screen.say(
            "Each phone verifies the signed pass, registers, and asks what else is new."
        )
        self._expect_wrong(0)

    def _let_customers_shop(self) -> None:
        count = max(8, len(self._shop.cards) // 4)
        self._step(f"{count} customers buy a coffee: card.record('earn', points=..., stamps=1).")
        # Two with iPhones come first: something will go wrong with those.
        first = self._owners[:2]
        self._customers = first + self._shop.pick(count - 2, but=first)
        for card in self._customers:
            self._shop.serve(card)
        self._screen.say("Each balance has moved, and its passes are marked as due.")
        self._expect_wrong(count)

    def _break_things(self) -> None:
        self._step("Seven things go wrong, on purpose.")
        far, lost, down, refused, silent, huge = self._customers[:6]
        bypassed = self._shop.pick(1, but=[*self._customers, *self._owners])[0]
        google = self._google
        google.fail(
            object_id=down.google_object_id, message="The service is currently unavailable."
        )
        google.fail(
            object_id=refused.google_object_id, status=400, message="Invalid value: accountName"
        )
        google.misbehave("hang", object_id=silent.google_object_id, times=1)
        huge.record("adjust", points=TOO_MANY_POINTS, reference="typing error")
        self._shop.import_behind_our_back(bypassed, points=250)
        self._iphones.apns.fail(self._iphones.of(far).push_token, "service_unavailable")
        self._iphones.lose(lost)
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
            Trouble(
                card=far,
                name="503, every time",
                what="Apple answers 503 to each push to its iPhone",
                wallet=APPLE,
                code="unavailable",
            ),
            Trouble(
                card=lost,
                name="iPhone wiped",
                what="its iPhone is wiped; only Apple knows (410)",
                wallet=APPLE,
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
        requests = [self._count_requests(trouble) for trouble in self._troubles]
        report = self._sync()
        expected = {_key(trouble): trouble.code for trouble in self._troubles if trouble.code}
        found = {(failure.card_id, failure.wallet): failure.code for failure in report.failures}
        self._expect(found == expected, f"expected the failures {expected}, found {found}")
        # The one that was moved by SQL was not among the customers; discovery must have found it.
        due = len(self._customers) + 1
        self._expect_cards(report, synced=due - len(expected), failed=len(expected))
        wrong = self._expect_wrong(len(expected))
        self._expect(wrong == set(expected), "other phones are wrong than those of the failures")
        more = [self._count_requests(trouble) for trouble in self._troubles]
        self._tries = [after - before for before, after in zip(requests, more, strict=True)]
        self._screen.say("The others did not wait for the four that failed.")
        return report

    def _heal(self, failed: SyncReport) -> SyncReport:
        self._step(
            f"Both recover and the error is corrected: sync_wallet_passes --run {failed.run_id}"
        )
        self._providers.heal()
        for trouble in self._troubles:
            if trouble.code == "invalid_card":
                trouble.card.record("void", points=-TOO_MANY_POINTS, reference="typing error")
                # At Apple it never failed: what a worker does in real time.
                sync_card_to_wallets(trouble.card.key, wallet=APPLE)
        if failed.run_id is None:
            raise TypeError("A sync over everything is always on record.")
        self._screen.say("Those four only. The next hourly sync would have mended them, too.")
        report = self._sync(Selection.of_run(failed.run_id))
        self._expect_cards(report, synced=failed.cards["failed"], failed=0)
        self._expect_wrong(0)
        return report

    def _look_back(self, failed: SyncReport, healed: SyncReport) -> None:
        self._step("What became of the seven.")
        failures = SyncFailure.objects.filter(run=failed.run_id)
        resolved = {
            (failure.wallet_pass.card_key, failure.wallet_pass.wallet): failure.resolved_by_id
            for failure in failures.select_related("wallet_pass")
        }
        wrong = self._wrong()
        rows = []
        for trouble, tries in zip(self._troubles, self._tries, strict=True):
            key = _key(trouble)
            run = resolved.get(key) or failed.run_id
            rows.append(
                (
                    _name(trouble.card),
                    trouble.wallet,
                    trouble.name,
                    str(tries),
                    trouble.code or "no failure",
                    "still wrong" if key in wrong else f"in run {run}",
                )
            )
        self._screen.table(("card", "wallet", "trouble", "sent", "recorded as", "right"), rows)
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

    def _wrong(self) -> set[tuple[str, str]]:
        """Return which cards are wrong in which wallet."""
        google = self._providers.wrong_at_google(self._shop.cards)
        return {(key, GOOGLE) for key in google} | {(key, APPLE) for key in self._iphones.wrong()}

    def _expect_wrong(self, expected: int) -> set[tuple[str, str]]:
        """Say how many are right, and expect so many cards to be wrong in one wallet or both."""
        wrong = self._wrong()
        for alias, name, total in (
            (GOOGLE, "Google Wallet", len(self._shop.cards)),
            (APPLE, "iPhones", len(self._iphones)),
        ):
            if total:
                right = total - sum(wallet == alias for _, wallet in wrong)
                self._screen.count_right(name, right, total)
        cards = len({key for key, _ in wrong})
        self._expect(cards == expected, f"expected {expected} wrong cards, found {cards}")
        return wrong

    def _expect(self, is_so: bool, problem: str) -> None:
        if not is_so:
            self.problems.append(problem)
            self._screen.say(f"Not as told: {problem}.", style="bold red")

    def _count_requests(self, trouble: Trouble) -> int:
        """Count what has been sent so far to the wallet about a card in trouble."""
        if trouble.wallet == GOOGLE:
            return len(self._google.requests_for(trouble.card.google_object_id))
        return self._iphones.count_pushes(trouble.card)


def _key(trouble: Trouble) -> tuple[str, str]:
    return trouble.card.key, trouble.wallet


def _name(card: LoyaltyCard) -> str:
    return f"{card.card_number} {card.holder_name}"
