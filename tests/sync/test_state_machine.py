"""Any order of sales, claims, requests, deaths and takeovers leaves every phone right.

Hypothesis plays the shop, the workers' fates and the provider. What marks, claims, renders, judges
leases and records is the app's own.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import timedelta
from enum import Enum, auto
from typing import Any, ClassVar

import pytest
from django.db import connection, transaction
from django.db.models import F, Q
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from loyalty_wallet.exceptions import DeferredError, LeaseLostError, NetworkError
from loyalty_wallet.models import (
    DatabaseNow,
    LoyaltyCard,
    LoyaltyProgram,
    SyncFailure,
    SyncRun,
    WalletPass,
)
from loyalty_wallet.registry import get_wallets
from loyalty_wallet.sync import (
    Selection,
    SyncReport,
    erase_card,
    issue,
    sync_wallet_passes,
    touch,
)
from loyalty_wallet.sync.leases import ClaimedPass, Lease, claim
from loyalty_wallet.sync.ledger import Ledger
from loyalty_wallet.sync.pump.jobs import Job, JobOutcome
from loyalty_wallet.sync.pump.rendering import Renderer
from tests.shopfront import Configure

CARDS = 2
CARD = st.integers(0, CARDS - 1)
CARDS_TOGETHER = st.sampled_from([(0,), (1,), (0, 1)])
BLANK = -1
"""What a phone shows of a card that is gone or was erased, in place of its balance."""
MOST_ROUNDS = 10
MOST_CHANGES = 3
"""Of the shop between two steps of workers: more lead nowhere."""
DONE = (JobOutcome.UPDATED, JobOutcome.UNCHANGED, JobOutcome.SKIPPED)
COLUMNS = [field.attname for field in WalletPass._meta.concrete_fields]


class Fate(Enum):
    """What becomes of the requests of one worker."""

    ANSWERED = auto()
    UNANSWERED = auto()
    GIVEN_BACK = auto()
    """Unanswered, and the lease ends before another attempt could."""
    UNTRIED = auto()


class Deed(Enum):
    """What people order."""

    FORCE_ONE = auto()
    FORCE_ALL_DUE = auto()
    DELETE = auto()
    """The shop's own row; the wallets' pass is to be blank as long as there is none."""
    ERASE = auto()
    """From the wallets, for good."""
    LEAVE_OR_JOIN = auto()
    RUN_THROUGH_AN_OUTAGE = auto()


class Provider:
    """What each phone may show, as far as anybody can know.

    A request without an answer may land at once, long after its worker is dead, or never; but it
    does not land after a later request for the same pass was answered.
    """

    def __init__(self) -> None:
        self.may_show: dict[str, set[int]] = defaultdict(lambda: {0})
        self._newest: Counter[str] = Counter()

    def take(self, job: Job, *, is_answered: bool) -> None:
        assert job.update is not None
        remote_id, revision = job.row.remote_id, job.row.desired_revision
        assert revision >= self._newest[remote_id], "An older state over a newer one."
        self._newest[remote_id] = revision
        if is_answered:
            self.may_show[remote_id].clear()
        points = job.update.payload["loyaltyPoints"]
        self.may_show[remote_id].add(points["balance"]["int"] if points else BLANK)


class Worker:
    """Who has claimed some passes."""

    def __init__(self, lease: Lease, rows: Sequence[ClaimedPass], forced: set[int]) -> None:
        self.lease = lease
        self.renderer = Renderer(get_wallets()["google"])
        self.jobs = self.renderer.render(lease, rows)
        self.orders = forced & lease.pks
        """The passes whose order to send whatever is known had been given before the claim."""

    def may_send(self, pk: int) -> bool:
        try:
            self.lease.check(pk, needed_seconds=0)
        except LeaseLostError:
            return False
        return pk in self.lease.pks

    def let_lease_end(self) -> None:
        """Move both clocks, the database's and the worker's own."""
        WalletPass.objects.filter(lease_token=self.lease.token).update(
            lease_until=DatabaseNow() - timedelta(seconds=1)
        )
        self.lease.ends_at = 0


def allow_leases(block: Any) -> None:
    """Let leases be taken within this transaction, as in one of a TestCase."""
    block._from_testcase = True


class Rival:
    """A worker that is faster than a claim: it delivers right after that has read what is due."""

    def __init__(self, machine: Sync) -> None:
        self._machine = machine
        self._wrapper = connection.execute_wrapper(self._watch)

    def __enter__(self) -> None:
        self._wrapper.__enter__()

    def __exit__(self, *exc_info: Any) -> None:
        self._wrapper.__exit__(*exc_info)

    def _watch(self, execute, sql, params, many, context):  # type: ignore[no-untyped-def]
        result = execute(sql, params, many, context)
        if sql.startswith("SELECT") and "lease_until" in sql:
            connection.execute_wrappers.remove(self._watch)
            allow_leases(connection.atomic_blocks[-1])
            try:
                self._machine.drain(rounds=1)
            finally:
                connection.execute_wrappers.append(self._watch)
        return result


class Shop:
    """Few cards whose phones are right, all with a balance of 0."""

    def __init__(self) -> None:
        self.program = LoyaltyProgram.objects.create(
            name="Coffee Club", slug="coffee", issuer_name="Corner Café", apple_wallet=""
        )
        cards = [LoyaltyCard(program=self.program, card_number=f"C{n}") for n in range(CARDS)]
        self.keys = [card.key for card in LoyaltyCard.objects.bulk_create(cards)]
        touch(self.keys)
        sync_wallet_passes()
        self.run = SyncRun.objects.create()


class Sync(RuleBasedStateMachine):
    """A shop with few cards, and workers that come and go."""

    claimed: Bundle[Worker] = Bundle("claimed")
    sent: Bundle[Worker] = Bundle("sent")

    shop: ClassVar[Shop]

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(self.shop.run, worker="machine")
        self.provider = Provider()
        self.alive: list[Worker] = []
        self.forced: set[int] = set()
        self.erased: set[str] = set()
        self.counted: Counter[str] = Counter()
        self.is_in_wallet = True
        self.changes_in_a_row = 0
        # Nothing of an example is left in the database for the next one.
        self.sandbox = transaction.atomic()
        allow_leases(self.sandbox)
        self.sandbox.__enter__()

    # --- The shop ---------------------------------------------------------------------------------

    @precondition(lambda self: self.changes_in_a_row < MOST_CHANGES or not is_any_due())
    @rule(cards=CARDS_TOGETHER)
    def sell(self, cards: tuple[int, ...]) -> None:
        """Move balances between two values, so that cards often return to what phones showed."""
        self.changes_in_a_row += 1
        keys = [self.shop.keys[card] for card in cards]
        with transaction.atomic():
            LoyaltyCard.objects.filter(pk__in=keys).update(points_balance=1 - F("points_balance"))
            touch(keys)

    @precondition(lambda self: self.changes_in_a_row < MOST_CHANGES)
    @rule(deed=st.sampled_from(Deed), card=CARD)
    def manage(self, deed: Deed, card: int) -> None:
        """Do what people in the office do, more seldom than they sell."""
        self.changes_in_a_row += 1
        key = self.shop.keys[card]
        match deed:
            case Deed.FORCE_ONE:
                self.order(Selection.of_cards([key]))
            case Deed.FORCE_ALL_DUE:
                self.order(Selection())
            case Deed.DELETE:
                LoyaltyCard.objects.filter(pk=key).delete()
            case Deed.ERASE:
                erase_card(key)
                self.erased.add(key)
            case Deed.LEAVE_OR_JOIN:
                self.leave_or_join_the_wallet()
            case Deed.RUN_THROUGH_AN_OUTAGE:
                self.counted += self.ledger.defer("google", Q(), reason="The provider is down.")

    # --- The workers ------------------------------------------------------------------------------

    @precondition(lambda _: is_any_due())
    @rule(target=claimed, limit=st.integers(1, CARDS), is_raced=st.booleans())
    def claim(self, limit: int, is_raced: bool) -> Worker | MultipleResults[Worker]:
        """Claim and render what is due: suspects only when nothing else is.

        In a race another worker delivers all that is due between the read and the update.
        """
        rival = Rival(self) if is_raced else nullcontext()
        with rival:
            lease, rows = claim(Q(), limit=limit)
        if not rows:
            lease, rows = claim(Q(), limit=1, is_for_suspects=True)
        if not rows:
            return multiple()
        self.changes_in_a_row = 0
        assert not WalletPass.objects.filter(pk__in=lease.pks, due_at=None).exists()
        worker = Worker(lease, rows, self.forced)
        self.alive.append(worker)
        return worker

    @rule(target=sent, worker=consumes(claimed), fate=st.sampled_from(Fate))
    def send(self, worker: Worker, fate: Fate) -> Worker:
        """Make the requests that the leases allow."""
        self.changes_in_a_row = 0
        for job in worker.jobs:
            if job.outcome is not None:
                continue
            if not worker.may_send(job.row.pk):
                job.finish(JobOutcome.RELEASED)
            elif fate is Fate.UNTRIED:
                job.finish(JobOutcome.DEFERRED, DeferredError("The provider is down."))
            else:
                self.request(worker, job, fate)
        return worker

    @rule(worker=consumes(sent))
    def record(self, worker: Worker) -> None:
        """Write what came of it; what somebody else holds stays as it is."""
        before = pass_rows()
        self.ledger.record("google", worker.jobs)
        after = pass_rows()
        for job in worker.jobs:
            pk = job.row.pk
            if before[pk]["lease_token"] != worker.lease.token:
                assert after[pk] == before[pk]
                continue
            is_newest = before[pk]["desired_revision"] == job.row.desired_revision
            assert (after[pk]["due_at"] is None) == (job.outcome in DONE and is_newest)
            self.count(job)
            if job.outcome is JobOutcome.SKIPPED:
                self.forced.discard(pk)
        worker.renderer.remember_delivered_programs(worker.jobs)
        self.alive.remove(worker)

    @rule(worker=consumes(sent))
    def crash(self, worker: Worker) -> None:
        """End without a record; some time later the lease ends."""
        worker.let_lease_end()
        self.alive.remove(worker)

    @precondition(lambda self: any(worker.lease.ends_at for worker in self.alive))
    @rule()
    def expire(self) -> None:
        """Let all workers stop for longer than their leases, and go on one day."""
        for worker in self.alive:
            worker.let_lease_end()

    @rule(worker=claimed)
    def renew(self, worker: Worker) -> None:
        worker.lease.renew()

    # --- What must hold ---------------------------------------------------------------------------

    @invariant()
    def at_most_one_worker_may_send(self) -> None:
        holders = Counter(
            job.row.pk
            for worker in self.alive
            for job in worker.jobs
            if worker.may_send(job.row.pk)
        )
        assert max(holders.values(), default=0) <= 1

    @invariant()
    def a_pass_that_is_not_due_is_right(self) -> None:
        balances = {card.key: card.points_balance for card in LoyaltyCard.objects.all()}
        for row in WalletPass.objects.filter(due_at=None):
            shown = self.provider.may_show[row.remote_id]
            if row.card_key in self.erased:
                assert shown == {BLANK}
                assert row.state == WalletPass.State.ERASED
                assert row.card_label == ""
            elif row.card_key not in balances:
                assert shown == {BLANK}
                assert row.state == WalletPass.State.VOIDED
            elif self.is_in_wallet:
                assert shown == {balances[row.card_key]}
                assert row.pk not in self.forced

    @invariant()
    def what_was_erased_is_never_due_again(self) -> None:
        assert not WalletPass.objects.due().filter(state=WalletPass.State.ERASED).exists()

    def teardown(self) -> None:
        """After the last step: one healthy worker puts everything right."""
        try:
            # A step that went wrong is the story to tell, not what follows from it.
            if sys.exc_info()[0] is None:
                self.come_to_rest()
        finally:
            transaction.set_rollback(True)
            self.sandbox.__exit__(None, None, None)

    def come_to_rest(self) -> None:
        for worker in self.alive:
            worker.let_lease_end()
        if not self.is_in_wallet:
            self.leave_or_join_the_wallet()
        self.drain()
        self.a_pass_that_is_not_due_is_right()
        assert issue(self.shop.keys) == 0
        assert not WalletPass.objects.exclude(due_at=None, lease_token="").exists()
        assert not SyncFailure.objects.open().exists()
        report = SyncReport.of_run(self.shop.run)
        assert +Counter(report.wallets["google"]) == self.counted
        assert self.shop.run.failures.count() == self.counted["failed"] + self.counted["deferred"]

    # --- How it is done ---------------------------------------------------------------------------

    def leave_or_join_the_wallet(self) -> None:
        self.is_in_wallet = not self.is_in_wallet
        self.shop.program.google_wallet = "google" if self.is_in_wallet else ""
        self.shop.program.save()

    def order(self, selection: Selection) -> None:
        selection.mark_due(is_forced=True)
        ordered = set(
            WalletPass.objects.due().filter(*selection.scopes()).values_list("pk", flat=True)
        )
        self.forced |= ordered
        for worker in self.alive:
            worker.orders -= ordered

    def request(self, worker: Worker, job: Job, fate: Fate) -> None:
        job.attempts = job.requests = 1
        self.provider.take(job, is_answered=fate is Fate.ANSWERED)
        if fate is Fate.ANSWERED:
            job.finish(JobOutcome.UPDATED)
            self.forced -= worker.orders & {job.row.pk}
        elif fate is Fate.GIVEN_BACK:
            job.finish(JobOutcome.RELEASED)
        else:
            job.finish(JobOutcome.FAILED, NetworkError("The connection broke."))

    def count(self, job: Job) -> None:
        assert job.outcome is not None
        if job.outcome.is_counted:
            self.counted[job.outcome.value] += 1
        self.counted += Counter(attempts=job.attempts, requests=job.requests)

    def drain(self, rounds: int = MOST_ROUNDS) -> None:
        """Let a healthy worker deliver all that is due, what was set aside included."""
        for _ in range(rounds):
            WalletPass.objects.set_aside().touch()
            worker = self.claim(CARDS, is_raced=False)
            if not isinstance(worker, Worker):
                return
            self.record(self.send(worker, Fate.ANSWERED))


def is_any_due() -> bool:
    return WalletPass.objects.due().unleased().exists()


def pass_rows() -> dict[int, dict[str, Any]]:
    return {row["pk"]: row for row in WalletPass.objects.values("pk", *COLUMNS)}


@pytest.mark.django_db
@pytest.mark.parametrize("examples", [20, pytest.param(150, marks=pytest.mark.chaos)])
def test_no_order_of_events_leaves_a_phone_wrong(configure: Configure, examples: int) -> None:
    """Sales, lost answers, deaths and takeovers, in a few thousand random steps."""
    Sync.shop = Shop()
    run_state_machine_as_test(
        Sync,
        settings=settings(
            max_examples=examples,
            stateful_step_count=50,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
