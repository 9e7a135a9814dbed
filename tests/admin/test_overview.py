"""The first page: whether customers see wrong balances, why, and what to do."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from loyalty_wallet import queueing
from loyalty_wallet.admin import register
from loyalty_wallet.admin.charts import day_bars, last_days, run_strip
from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, SyncRun, WalletPass, WalletProbe
from loyalty_wallet.schedule import install_schedule
from loyalty_wallet.sync import sync_wallet_passes
from tests.shopfront import Configure

from .pages import list_url, messages_of, page_url, text_of

Login = Callable[..., Client]
MakeCards = Callable[[int], list[LoyaltyCard]]
HOME = "/admin/loyalty_wallet/"
CHECK = "admin:loyalty_wallet_syncrun_check"


def _headline(client: Client) -> str:
    match = re.search(r'<h2 id="lw-headline">(.*?)</h2>', client.get(HOME).content.decode())
    assert match is not None
    return html.unescape(match[1])


def _make_older(minutes: int) -> None:
    moment = timezone.now() - timedelta(minutes=minutes)
    WalletPass.objects.filter(due_at__isnull=False).update(due_at=moment)


def test_all_is_well(boss: Client, right_cards: MakeCards) -> None:
    """After a run that came through, the page says so first, and has nothing to explain."""
    right_cards(3)
    page = text_of(boss.get(HOME))
    assert _headline(boss) == "Every phone is right."
    assert "Do this:" not in page
    assert " Why " not in page
    assert "google well" in page


def test_failing_cards_come_first_with_cause_remedy_and_a_link(
    boss: Client, right_cards: MakeCards, google: GoogleEmulator
) -> None:
    """How many customers see a wrong balance, since when, why, what to do, and which cards."""
    cards = right_cards(5)
    google.fail(status=400)
    for card in cards[:3]:
        card.record("earn", points=1)
    sync_wallet_passes()
    _make_older(43)
    answer = boss.get(HOME)
    page = text_of(answer)
    assert _headline(boss) == "Customers see wrong balances: 3 cards, the oldest for 43 min."
    assert "Do this: Correct the card or program data that the message names" in page
    assert "3 passes: rejected. The provider refused what was sent" in page
    assert f"{list_url('syncfailure')}?code=rejected" in answer.content.decode()
    assert "oldest card still wrong 43 min" in page
    assert "google some cards fail" in page


def test_card_that_has_just_changed_alarms_nobody(boss: Client, right_cards: MakeCards) -> None:
    """A balance on its way is told as what it is."""
    (card, _) = right_cards(2)
    card.record("earn", points=1)
    assert _headline(boss) == "1 card waits to be delivered, for < 1 min; that is usual."


def test_cards_are_counted_not_passes(
    boss: Client, right_cards: MakeCards, google: GoogleEmulator
) -> None:
    """A customer whose card waits in two wallets is one customer."""
    (card,) = right_cards(1)
    card.record("earn", points=1)
    row = WalletPass.objects.get()
    WalletPass.objects.create(
        card_key=row.card_key, wallet="apple", remote_id="a", due_at=timezone.now()
    )
    _make_older(300)
    assert _headline(boss) == "Customers see wrong balances: 1 card, for 300 min."


def test_set_aside_passes_are_not_forgotten(boss: Client, right_cards: MakeCards) -> None:
    """What no run tries any more is said even when nothing else is wrong."""
    (card, _) = right_cards(2)
    card.record("earn", points=1)
    WalletPass.objects.filter(due_at__isnull=False).update(state=WalletPass.State.SET_ASIDE)
    assert _headline(boss).startswith("1 pass is set aside and may show a wrong balance")


def test_page_survives_wrong_settings(boss: Client, settings: Settings) -> None:
    """At its worst the page still says what is wrong and how to put it right."""
    settings.LOYALTY_WALLET = {"WALETS": {}}
    page = text_of(boss.get(HOME))
    assert "WALETS" in page
    assert "Do this: Correct LOYALTY_WALLET in the settings" in page


def test_fresh_project_promises_nothing(boss: Client, settings: Settings) -> None:
    """Without a wallet there is nothing to keep true."""
    settings.LOYALTY_WALLET = {"WALLETS": {}}
    assert _headline(boss) == "No wallet is configured: there is nothing to keep true."


def test_silent_worker_is_the_first_thing_to_do(
    boss: Client, right_cards: MakeCards, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a broker but no worker nothing that is queued is ever done."""
    (card,) = right_cards(1)
    card.record("earn", points=1)
    # The answer of workers that are not there takes a second of a real broker.
    monkeypatch.setattr(queueing, "has_broker", lambda: True)
    monkeypatch.setattr(queueing, "has_live_worker", lambda: False)
    monkeypatch.setattr("loyalty_wallet.monitoring.status.has_broker", lambda: True)
    page = text_of(boss.get(HOME))
    assert "Do this: Start one: celery -A PROJECT worker" in page
    assert "Workers no answer" in page
    assert "Sync now" in page


def test_standstill_comes_before_what_single_cards_failed_with(
    boss: Client, right_cards: MakeCards, google: GoogleEmulator
) -> None:
    """ "Wait for the next run" is bad advice while no run comes."""
    (card,) = right_cards(1)
    google.fail(status=503)
    card.record("earn", points=1)
    sync_wallet_passes()
    assert "Do this: Wait: the provider is in trouble" in text_of(boss.get(HOME))
    moment = timezone.now() - timedelta(hours=3)
    SyncRun.objects.update(started_at=moment, finished_at=moment)
    page = text_of(boss.get(HOME))
    assert "Do this: See whether the scheduler and a worker are alive" in page
    assert "1 pass: unavailable." in page


def test_schedule_light(boss: Client, right_cards: MakeCards) -> None:
    """Not installed, on, turned off: each with what to do."""
    right_cards(1)
    assert "Schedule not installed" in text_of(boss.get(HOME))
    assert "manage.py install_wallet_schedule" in text_of(boss.get(HOME))
    entry, _ = install_schedule()
    assert "Schedule on" in text_of(boss.get(HOME))
    entry.enabled = False
    entry.save()
    assert "Schedule turned off" in text_of(boss.get(HOME))


def test_check_now_asks_the_providers(
    boss: Client, right_cards: MakeCards, google: GoogleEmulator
) -> None:
    """The button's answer is written down and shown, and who pressed it is on record."""
    right_cards(1)
    assert "reachable not checked yet" in text_of(boss.get(HOME))
    answer = boss.post(reverse(CHECK), follow=True)
    assert answer.redirect_chain[-1][0] == HOME
    assert messages_of(answer) == ["Checked: all wallets answer."]
    page = text_of(answer)
    assert "reachable yes authorised yes" in page
    assert LogEntry.objects.get().change_message == "Checked over the network."


def test_check_now_names_the_wallet_that_is_refused(
    boss: Client, right_cards: MakeCards, google: GoogleEmulator
) -> None:
    """A revoked key is seen without waiting for a run to fail."""
    right_cards(1)
    google.revoke_key()
    google.revoke_tokens()
    answer = boss.post(reverse(CHECK), follow=True)
    assert messages_of(answer) == ["Checked. Something is wrong with: google."]
    assert "google refuses us" in text_of(answer)


@pytest.mark.parametrize(("publishing", "word"), [("not_needed", "well"), ("draft", "draft")])
def test_wallet_is_well_where_nothing_has_to_be_approved(
    boss: Client, right_cards: MakeCards, publishing: str, word: str
) -> None:
    """Apple approves no program: that is no reason for a warning, as Google's drafts are."""
    right_cards(1)
    WalletProbe.objects.create(
        wallet="google",
        checked_at=timezone.now(),
        is_reachable=True,
        is_authorised=True,
        publishing=publishing,
    )
    assert f"google {word} " in text_of(boss.get(HOME))


@pytest.mark.parametrize("held", [(), ("run_probes",), ("view_syncrun",)])
def test_check_now_needs_its_permission_and_a_post(
    login: Login, configure: Configure, held: tuple[str, ...]
) -> None:
    """Neither seeing runs nor the permission alone is enough, and a link checks nothing."""
    client = login(*held)
    assert client.post(reverse(CHECK)).status_code == 403
    assert client.get(reverse(CHECK)).status_code == 405
    assert not WalletProbe.objects.exists()


def test_viewer_sees_no_button(login: Login, right_cards: MakeCards) -> None:
    """Who may only look is shown everything and offered nothing."""
    right_cards(1)
    page = text_of(login("view_syncrun").get(HOME))
    assert "Every phone is right." in page
    assert "Check now" not in page
    assert "sync now" not in page.lower()


def test_who_may_not_see_runs_gets_the_plain_index(login: Login, right_cards: MakeCards) -> None:
    """The overview is about runs; other staff keep the list of what they may see."""
    right_cards(1)
    page = login("view_loyaltycard").get(HOME)
    assert "lw-headline" not in page.content.decode()
    assert "Loyalty cards" in text_of(page)


def test_overview_is_on_every_site(
    right_cards: MakeCards, rf: RequestFactory, admin_user: Any
) -> None:
    """A project's own admin site shows it, too."""
    right_cards(1)
    site = admin.AdminSite(name="backoffice")
    register(site)
    request = rf.get(HOME)
    request.user = admin_user
    answer: Any = site.app_index(request, "loyalty_wallet")
    assert "Every phone is right." in answer.render().content.decode()


def test_strip_links_the_last_forty_runs(boss: Client) -> None:
    """Each cell leads to its run and says in words what its colour means, the newest last."""
    SyncRun.objects.bulk_create(
        SyncRun(status=status, started_at=timezone.now(), card_counts={"failed": failed})
        for status, failed in [("succeeded", 0)] * 44 + [("partial", 3)]
    )
    last = SyncRun.objects.latest("pk")
    cells = run_strip()
    assert len(cells) == 40
    assert cells[-1].url == page_url("syncrun", last.pk)
    assert f"Run {last.pk}: partial" in cells[-1].text
    assert cells[-1].text.endswith("3 failed")
    assert cells[0].sign != cells[-1].sign
    page = boss.get(HOME).content.decode()
    assert page.count('class="lw-cell ') == 40
    assert f'<span class="lw-unseen">{cells[-1].text}</span>' in page


def test_days_are_the_readers_own(db: None) -> None:
    """A run belongs to the day on which it began where the reader is."""
    counts = {"synced": 5, "failed": 1, "deferred": 2}
    with timezone.override("Asia/Tokyo"):
        now = timezone.localtime().replace(hour=1, minute=0)
        SyncRun.objects.create(status="partial", started_at=now, card_counts=counts)
        SyncRun.objects.create(
            status="partial", started_at=now - timedelta(hours=2), card_counts=counts
        )
        SyncRun.objects.create(
            status="partial", started_at=now - timedelta(days=15), card_counts=counts
        )
        days = last_days(now)
    assert len(days) == 14
    assert [(day.synced, day.failed) for day in days[-2:]] == [(5, 3), (5, 3)]
    assert sum(day.synced for day in days) == 10


def test_one_failed_card_among_many_is_seen(db: None) -> None:
    """A bar has a least height, and a day's bars never leave the chart."""
    SyncRun.objects.create(
        status="partial",
        started_at=timezone.now(),
        card_counts={"synced": 100_000, "failed": 1, "deferred": 0},
    )
    *before, today = day_bars(last_days())
    assert today.failed_height >= 3
    assert today.failed_y >= 0
    assert today.synced_y + today.synced_height == pytest.approx(100)
    assert all(bar.synced_height == bar.failed_height == 0 for bar in before)


def test_nothing_is_inline_or_from_elsewhere(boss: Client, right_cards: MakeCards) -> None:
    """A strict content security policy breaks nothing of ours."""
    right_cards(1)
    SyncRun.objects.create(status="running", started_at=timezone.now())
    run = SyncRun.objects.latest("pk")
    for url in (HOME, list_url("syncrun"), page_url("syncrun", run.pk)):
        page = boss.get(url).content.decode()
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page)
        assert not re.search(r'(?:src|href)="(?:https?:)?//', page)


def test_overview_needs_few_queries_however_much_there_is(
    boss: Client, right_cards: MakeCards, django_assert_max_num_queries: Any
) -> None:
    """Hundreds of runs and passes take no more queries than a few."""
    right_cards(2)
    boss.get(HOME)
    with CaptureQueriesContext(connection) as few:
        boss.get(HOME)
    now = timezone.now()
    SyncRun.objects.bulk_create(SyncRun(status="partial", started_at=now) for _ in range(300))
    WalletPass.objects.bulk_create(
        WalletPass(
            card_key=f"k{n}", wallet="google", remote_id=f"k{n}", due_at=now, last_code="bug"
        )
        for n in range(300)
    )
    with django_assert_max_num_queries(16):
        boss.get(HOME)
    assert len(few) <= 16
