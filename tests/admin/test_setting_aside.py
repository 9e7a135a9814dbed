"""Setting passes aside and taking them up again, from the list of failures."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import (
    LoyaltyCard,
    LoyaltyTransaction,
    SyncFailure,
    SyncRun,
    WalletPass,
)
from loyalty_wallet.schedule import install_schedule
from loyalty_wallet.sync import sync_wallet_passes
from tests.shopfront import Configure, balance_at, pass_of

from .pages import ask, confirm, hidden_fields, list_url, messages_of, page_url, text_of

Login = Callable[..., Client]
MakeCards = Callable[[int], list[LoyaltyCard]]
URL = "syncfailure"


def _many(count: int, *, code: str = "rejected", **values: Any) -> SyncRun:
    run = SyncRun.objects.create(status="partial")
    now = timezone.now()
    first = WalletPass.objects.count()
    passes = WalletPass.objects.bulk_create(
        WalletPass(
            **{
                "card_key": f"key-{number}",
                "wallet": "google",
                "remote_id": f"r-{number}",
                "due_at": now,
                "last_code": code,
                "failing_runs": 3,
                **values,
            }
        )
        for number in range(first, first + count)
    )
    SyncFailure.objects.bulk_create(
        SyncFailure(run=run, wallet_pass=row, code=code, failed_at=now) for row in passes
    )
    return run


def _do(client: Client, url: str, pks: list[int], action: str, *, across: bool = False) -> str:
    question = ask(client, url, pks, action=action, across=across)
    (message,) = messages_of(confirm(client, url, question))
    return message


def test_pass_is_set_aside_and_no_run_tries_it(
    boss: Client, right_cards: MakeCards, google: GoogleEmulator
) -> None:
    """A card that cannot be mended for now stops failing every hour, and is sent once asked for."""
    cards = right_cards(2)
    fault = google.fail(status=400)
    for card in cards:
        card.record("earn", points=5)
    sync_wallet_passes()
    google.heal(fault)
    failure = SyncFailure.objects.get(wallet_pass__card_key=cards[0].key)
    question = ask(boss, list_url(URL), [failure.pk], action="set_aside")
    assert "Set 1 pass aside?" in text_of(question)
    assert "rejected 1 Correct the card" in text_of(question)
    (message,) = messages_of(confirm(boss, list_url(URL), question))
    assert message == "1 pass is set aside."
    sync_wallet_passes()
    assert [balance_at(google, card) for card in cards] == [0, 5]
    assert "never: set aside" in text_of(boss.get(list_url(URL)))
    assert _do(boss, list_url(URL), [failure.pk], "take_up") == (
        "1 pass is taken up again; the next run tries it."
    )
    sync_wallet_passes()
    assert balance_at(google, cards[0]) == 5
    changes = LogEntry.objects.order_by("pk").values_list("change_message", flat=True)
    assert list(changes) == ["Pass set aside.", "Pass taken up again."]


def test_the_question_counts_the_passes_that_it_is_about(boss: Client) -> None:
    """Not those that are right by now, and each once, by what it failed with last."""
    run = _many(3)
    _many(1, code="bug")
    mended, other, *_ = WalletPass.objects.order_by("pk")
    WalletPass.objects.filter(pk=mended.pk).update(due_at=None)
    SyncFailure.objects.create(run=run, wallet_pass=other, code="bug", failed_at=timezone.now())

    pks = list(SyncFailure.objects.values_list("pk", flat=True))
    text = text_of(ask(boss, list_url(URL), pks, action="set_aside"))

    assert "Set 3 passes aside?" in text
    assert "rejected 2 Correct the card" in text
    assert "bug 1 " in text


def test_unannounced_change_takes_a_pass_up_again(
    boss: Client, right_cards: MakeCards, google: GoogleEmulator
) -> None:
    """A pass that was set aside before its card changed behind our back is sent by the next run."""
    (card,) = right_cards(1)
    long_ago = timezone.now() - timedelta(hours=3)
    WalletPass.objects.update(
        state=WalletPass.State.SET_ASIDE, due_at=long_ago, changed_at=long_ago
    )
    LoyaltyTransaction.objects.bulk_create([LoyaltyTransaction(card=card, kind="earn", points=4)])
    LoyaltyCard.objects.update(points_balance=4)
    sync_wallet_passes()
    assert balance_at(google, card) == 4
    assert pass_of(card).state == WalletPass.State.ACTIVE


def test_all_that_match_are_set_aside_by_the_address_of_the_list(
    boss: Client, configure: Configure
) -> None:
    """1,200 failures are set aside by one key and the filter; other ones are left alone."""
    _many(1200)
    _many(3, code="bug")
    url = f"{list_url(URL)}?code=rejected"
    pk = SyncFailure.objects.filter(code="rejected")[:1].get().pk
    question = ask(boss, url, [pk], across=True, action="set_aside")
    assert "Set 1200 passes aside?" in text_of(question)
    assert "and 1180 more" in text_of(question)
    assert sum(map(len, hidden_fields(question).values())) < 10
    (message,) = messages_of(confirm(boss, url, question))
    assert message == "1200 passes are set aside."
    assert WalletPass.objects.set_aside().count() == 1200
    assert set(WalletPass.objects.due().values_list("last_code", flat=True)) == {"bug"}
    entry = LogEntry.objects.get()
    assert entry.object_repr == "1200 passes"


def test_all_that_match_are_taken_up_again(boss: Client, configure: Configure) -> None:
    """Taking up makes the passes due again with their failing runs counted anew."""
    _many(1200, state=WalletPass.State.SET_ASIDE)
    url = list_url(URL)
    pk = SyncFailure.objects.all()[:1].get().pk
    message = _do(boss, url, [pk], "take_up", across=True)
    assert message == "1200 passes are taken up again; the next run tries them."
    assert WalletPass.objects.due().filter(failing_runs=0).count() == 1200


def test_several_failures_of_a_pass_are_one_pass(boss: Client, configure: Configure) -> None:
    """A pass that failed in two runs is asked about and set aside once."""
    _many(1)
    failure = SyncFailure.objects.get()
    SyncFailure.objects.create(
        run=failure.run,
        wallet_pass=failure.wallet_pass,
        code="bug",
        failed_at=failure.failed_at,
    )
    pks = list(SyncFailure.objects.values_list("pk", flat=True))
    assert _do(boss, list_url(URL), pks, "set_aside") == "1 pass is set aside."


@pytest.mark.parametrize(
    ("action", "values"),
    [
        ("set_aside", {"due_at": None, "last_code": ""}),
        ("set_aside", {"state": WalletPass.State.SET_ASIDE}),
        ("set_aside", {"lease_until": timezone.now() + timedelta(days=1), "lease_token": "x"}),
        ("take_up", {}),
    ],
    ids=["right", "aside already", "being sent", "not aside"],
)
def test_nothing_to_do_is_said_without_a_question(
    boss: Client, configure: Configure, action: str, values: dict[str, Any]
) -> None:
    """Passes that are right, held by a worker, or there already are left alone."""
    _many(1, **values)
    before = list(WalletPass.objects.values())
    answer = boss.post(
        list_url(URL),
        {"action": action, "_selected_action": [SyncFailure.objects.get().pk], "post": "yes"},
        follow=True,
    )
    (message,) = messages_of(answer)
    assert message.startswith("Nothing to ")
    assert list(WalletPass.objects.values()) == before
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("action", ["resync_cards", "set_aside", "take_up", "export_failures"])
def test_viewer_may_not_act_on_failures(
    login: Login, configure: Configure, db: None, action: str
) -> None:
    """A viewer is offered nothing, and what is posted all the same does nothing."""
    _many(1)
    before = list(WalletPass.objects.values())
    viewer = login("view_syncfailure")
    failure = SyncFailure.objects.get()
    for url in (list_url(URL), page_url(URL, failure.pk)):
        assert action not in viewer.get(url).content.decode()
    viewer.post(list_url(URL), {"action": action, "_selected_action": [failure.pk], "post": "yes"})
    assert list(WalletPass.objects.values()) == before
    assert not SyncRun.objects.filter(trigger="admin").exists()
    assert not LogEntry.objects.exists()


def test_next_try_is_when_the_schedule_says(boss: Client, configure: Configure) -> None:
    """An open failure is tried by the next scheduled run; without a schedule, by the next one."""
    _many(1)
    assert ">next run</span>" in boss.get(list_url(URL)).content.decode()
    install_schedule()
    page = boss.get(list_url(URL))
    assert ">next run</span>" not in page.content.decode()
    (row,) = page.context["cl"].result_list
    assert timezone.now() < row.next_run_at <= timezone.now() + timedelta(hours=1)


def test_failures_are_filtered_by_program(boss: Client, configure: Configure) -> None:
    """The failures of one program are one click away."""
    _many(2, program_key="tea")
    _many(3, program_key="coffee")
    answer = boss.get(f"{list_url(URL)}?program=tea")
    assert answer.context["cl"].result_count == 2
