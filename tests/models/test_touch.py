"""`touch`: since when a phone is wrong, what it should show, and who goes first."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from loyalty_wallet.models import DatabaseNow, LoyaltyCard, SyncState, WalletPass
from loyalty_wallet.sync import touch
from loyalty_wallet.sync.outbox import mark_due

from .conftest import Configure

pytestmark = pytest.mark.django_db


def test_first_touch_says_since_when(wallet_pass: WalletPass) -> None:
    """A pass that was right is due since now, by the database's clock."""
    before = timezone.now()
    assert touch([wallet_pass.card_key]) == 1
    wallet_pass.refresh_from_db()
    assert wallet_pass.due_at is not None
    assert abs(wallet_pass.due_at - before) < timedelta(seconds=5)
    assert wallet_pass.desired_revision == 2


def test_oldest_moment_is_kept(wallet_pass: WalletPass) -> None:
    """Each further touch raises the revision; the phone is wrong since the first one."""
    since = timezone.now() - timedelta(hours=5)
    WalletPass.objects.update(due_at=since)
    for _ in range(3):
        touch([wallet_pass.card_key])
    wallet_pass.refresh_from_db()
    assert wallet_pass.due_at == since
    assert wallet_pass.desired_revision == 4


def test_each_touch_says_when_the_card_last_changed(wallet_pass: WalletPass) -> None:
    """Unlike `due_at`, `changed_at` follows every change."""
    long_ago = timezone.now() - timedelta(hours=5)
    WalletPass.objects.update(due_at=long_ago, changed_at=long_ago)
    before = timezone.now()
    touch([wallet_pass.card_key])
    wallet_pass.refresh_from_db()
    assert wallet_pass.changed_at is not None
    assert abs(wallet_pass.changed_at - before) < timedelta(seconds=5)


def test_set_aside_pass_is_taken_up_again(wallet_pass: WalletPass) -> None:
    """A changed card deserves a new start: the pass is due, and its failing runs count from 0."""
    WalletPass.objects.update(state=WalletPass.State.SET_ASIDE, failing_runs=24)
    touch([wallet_pass.card_key])
    wallet_pass.refresh_from_db()
    assert (wallet_pass.state, wallet_pass.failing_runs) == (WalletPass.State.ACTIVE, 0)
    assert WalletPass.objects.due().exists()


@pytest.mark.parametrize("state", [WalletPass.State.ACTIVE, WalletPass.State.VOIDED])
def test_other_states_and_their_failing_runs_stay(
    wallet_pass: WalletPass, state: WalletPass.State
) -> None:
    """Only a pass that was set aside changes its state; the others keep counting."""
    WalletPass.objects.update(state=state, failing_runs=7)
    touch([wallet_pass.card_key])
    wallet_pass.refresh_from_db()
    assert (wallet_pass.state, wallet_pass.failing_runs) == (state, 7)


def test_priority_is_set_only_when_asked(wallet_pass: WalletPass) -> None:
    """What a person asked for, with priority or by force, outlives the next change of the card."""
    touch([wallet_pass.card_key])
    wallet_pass.refresh_from_db()
    assert (wallet_pass.priority, wallet_pass.is_forced) == (WalletPass.Priority.NORMAL, False)
    WalletPass.objects.update(is_forced=True)
    WalletPass.objects.touch(priority=WalletPass.Priority.ASKED)
    touch([wallet_pass.card_key])
    wallet_pass.refresh_from_db()
    assert (wallet_pass.priority, wallet_pass.is_forced) == (WalletPass.Priority.ASKED, True)


def test_one_wallet_can_be_touched(configure: Configure, card: LoyaltyCard) -> None:
    """With wallets named, the passes in the others stay as they are."""
    configure("google", "apple")
    touch([card.key])
    WalletPass.objects.update(due_at=None)
    assert mark_due([card.key], wallets=["apple"]) == 1
    assert WalletPass.objects.due().get().wallet == "apple"


def test_touch_belongs_to_the_transaction_of_its_caller(wallet_pass: WalletPass) -> None:
    """A change that is rolled back leaves nothing to deliver."""
    with transaction.atomic():
        touch([wallet_pass.card_key])
        transaction.set_rollback(True)
    wallet_pass.refresh_from_db()
    assert not wallet_pass.is_due
    assert wallet_pass.desired_revision == 1


def test_touch_counts_passes_and_knows_no_strangers(
    wallet_pass: WalletPass, configure: Configure
) -> None:
    """The number returned is that of passes; a card that nobody knows has none."""
    configure("google", "apple")
    assert touch([wallet_pass.card_key, "0", "nobody"]) == 2
    assert touch([]) == 0


@pytest.mark.parametrize(
    ("is_due", "state", "last_code", "expected"),
    [
        (True, "active", "", {"due"}),
        (True, "voided", "", {"due"}),
        (True, "active", "rejected", {"due", "failing"}),
        (True, "set_aside", "rejected", {"set_aside"}),
        (False, "active", "", set()),
        (False, "active", "rejected", set()),
    ],
)
def test_states_have_names(
    wallet_pass: WalletPass, is_due: bool, state: str, last_code: str, expected: set[str]
) -> None:
    """`due`, `failing` and `set_aside` tell passes apart; what is set aside is never due."""
    WalletPass.objects.update(
        due_at=timezone.now() if is_due else None, state=state, last_code=last_code
    )
    passes = WalletPass.objects
    found = {"due": passes.due(), "failing": passes.failing(), "set_aside": passes.set_aside()}
    assert {name for name, queryset in found.items() if queryset.exists()} == expected


@pytest.mark.parametrize(
    ("offset", "is_free"),
    [(None, True), (timedelta(minutes=-1), True), (timedelta(minutes=1), False)],
)
def test_lease_is_judged_by_the_clock_of_the_database(
    wallet_pass: WalletPass, offset: timedelta | None, is_free: bool
) -> None:
    """A pass is free without a lease, and again when its lease has ended."""
    until = None if offset is None else timezone.now() + offset
    WalletPass.objects.update(lease_until=until)
    assert WalletPass.objects.unleased().exists() is is_free


@pytest.fixture(params=["+05:30", "-08:00"])
def session_zone(request: pytest.FixtureRequest) -> Iterator[None]:
    """A database session whose own time zone is not UTC, where sessions have one."""
    statement = {
        "postgresql": "SET TIME ZONE INTERVAL '{}' HOUR TO MINUTE",
        "mysql": "SET time_zone = '{}'",
    }.get(connection.vendor)

    def switch(zone: str) -> None:
        if statement:
            with connection.cursor() as cursor:
                cursor.execute(statement.format(zone))

    switch(request.param)
    yield
    switch("+00:00")


@pytest.mark.usefixtures("session_zone")
def test_clock_of_the_database_is_utc() -> None:
    """Whatever the time zone of the session, a stored moment is the true one."""
    SyncState.objects.create(scope="clock", expires_at=DatabaseNow())
    stored = SyncState.objects.get(scope="clock").expires_at
    assert stored is not None
    assert abs(stored - datetime.now(UTC)) < timedelta(seconds=5)


def test_clock_of_the_database_moves_within_a_transaction() -> None:
    """A lease drawn late in a long transaction is not as old as the transaction."""
    with transaction.atomic():
        SyncState.objects.create(scope="first", expires_at=DatabaseNow())
        time.sleep(0.02)
        SyncState.objects.create(scope="second", expires_at=DatabaseNow())
    first, second = (SyncState.objects.get(scope=scope).expires_at for scope in ("first", "second"))
    assert first is not None
    assert second is not None
    assert timedelta(0) < second - first < timedelta(seconds=5)
