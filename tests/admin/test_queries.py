"""The lists ask the database as often for 200 rows as for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from loyalty_wallet.models import (
    AppleDeviceComplaint,
    LoyaltyCard,
    LoyaltyProgram,
    LoyaltyTransaction,
    SyncBatch,
    SyncFailure,
    SyncRun,
    WalletPass,
)
from tests.shopfront import Configure

from .pages import list_url, page_url

MOST = {
    "loyaltyprogram": 5,
    "loyaltycard": 5,
    "loyaltytransaction": 4,
    "walletpass": 5,
    "syncrun": 9,
    "syncfailure": 6,
    "appledevicecomplaint": 4,
}
"""Session and user are two of them, the page's rows one; a count, filters and dates the rest."""


def _fill(count: int) -> None:
    now = timezone.now()
    user, _ = User.objects.get_or_create(username="asker")
    first = LoyaltyProgram.objects.count()
    LoyaltyProgram.objects.bulk_create(
        LoyaltyProgram(name=f"P{number}", slug=f"p{number}", issuer_name="Shop")
        for number in range(first, first + count)
    )
    program = LoyaltyProgram.objects.order_by("pk")[0]
    cards = LoyaltyCard.objects.bulk_create(
        LoyaltyCard(program=program, card_number=f"C{first + number}") for number in range(count)
    )
    LoyaltyTransaction.objects.bulk_create(
        LoyaltyTransaction(card=card, kind="earn", points=1) for card in cards
    )
    passes = WalletPass.objects.bulk_create(
        WalletPass(
            card_key=card.key,
            wallet="google",
            remote_id=f"r{card.pk}",
            program_key="p0",
            due_at=now,
            last_code="rejected",
            payload={"much": "x" * 100},
        )
        for card in cards
    )
    runs = SyncRun.objects.bulk_create(
        SyncRun(status=status, started_at=now, heartbeat_at=now, requested_by=user)
        for _ in range(count // 2)
        for status in ("running", "partial")
    )
    SyncBatch.objects.bulk_create(
        SyncBatch(run=run, worker="w", wallet="google", counts={"updated": 1}) for run in runs
    )
    SyncFailure.objects.bulk_create(
        SyncFailure(run=runs[0], wallet_pass=row, code="rejected", failed_at=now) for row in passes
    )
    AppleDeviceComplaint.objects.bulk_create(
        AppleDeviceComplaint(
            kind="authentication", wallet_pass=row, count=1, first_at=now, last_at=now
        )
        for row in passes
    )


@pytest.mark.parametrize("model", MOST)
def test_list_needs_few_queries_however_long(
    boss: Client, configure: Configure, model: str, django_assert_max_num_queries: Any
) -> None:
    """A list of 200 rows takes no more queries than a list of two."""
    _fill(2)
    boss.get(list_url(model))
    with CaptureQueriesContext(connection) as short:
        boss.get(list_url(model))
    _fill(198)
    for query in ("", "?all="):
        with django_assert_max_num_queries(MOST[model]) as long:
            answer = boss.get(list_url(model) + query)
        assert len(long) <= len(short)
    assert len(answer.context["cl"].result_list) == 200


def test_payloads_are_not_read_for_lists(boss: Client, configure: Configure) -> None:
    """The delivered payloads, the bulk of the table, stay in the database."""
    _fill(3)
    for model in ("walletpass", "syncfailure", "appledevicecomplaint"):
        with CaptureQueriesContext(connection) as queries:
            boss.get(list_url(model))
        assert not any('"payload"' in query["sql"] for query in queries)


@pytest.mark.parametrize(
    ("make", "most"),
    [
        (lambda: ("loyaltycard", LoyaltyCard.objects.all()[0].pk), 11),
        (lambda: ("walletpass", WalletPass.objects.all()[0].pk), 10),
        (lambda: ("syncrun", SyncRun.objects.order_by("pk")[0].pk), 14),
        (lambda: ("syncfailure", SyncFailure.objects.all()[0].pk), 5),
        (lambda: ("appledevicecomplaint", AppleDeviceComplaint.objects.all()[0].pk), 4),
    ],
)
def test_page_needs_few_queries(
    boss: Client,
    configure: Configure,
    django_assert_max_num_queries: Any,
    make: Callable[[], tuple[str, int]],
    most: int,
) -> None:
    """A page with hundreds of failures takes a fixed number of queries."""
    _fill(200)
    model, pk = make()
    boss.get(page_url(model, pk))
    with django_assert_max_num_queries(most):
        assert boss.get(page_url(model, pk)).status_code == 200


def test_only_passes_in_trouble_can_be_sorted(boss: Client, configure: Configure) -> None:
    """No index sorts all passes by when they were due, and 100,000 are too many without one."""
    _fill(2)
    url = list_url("walletpass")
    assert "sortable" not in boss.get(url).content.decode()
    assert "sortable" in boss.get(f"{url}?status=failing").content.decode()
