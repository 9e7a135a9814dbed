"""What an operator does in the admin, in a real browser: sees what is wrong, watches, stops, retries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, SyncBatch, SyncRun, WalletPass
from loyalty_wallet.sync import sync_wallet_passes
from tests.admin.pages import list_url, page_url

from .chromium import Scheme, Size, Window
from .conftest import OpenPage
from .expecting import expect

MakeCards = Callable[[int], list[LoyaltyCard]]
HOME = "/admin/loyalty_wallet/"
POLL_MS = 2000
"""How long the page of a run that is going waits before it asks again."""
LOOKS: list[tuple[Size, Scheme]] = [("desktop", "light"), ("phone", "dark")]


@pytest.fixture
def failed_run(right_cards: MakeCards, google: GoogleEmulator) -> SyncRun:
    """A run in which two of three cards were refused 43 minutes ago; Google takes them by now."""
    cards = right_cards(3)
    fault = google.fail(status=400)
    for card in cards[:2]:
        card.record("earn", points=7)
    sync_wallet_passes()
    google.heal(fault)
    moment = timezone.now() - timedelta(minutes=43)
    WalletPass.objects.filter(due_at__isnull=False).update(due_at=moment)
    return SyncRun.objects.latest("pk")


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_operators_pages_are_for_everybody(
    page: OpenPage, boss: Client, failed_run: SyncRun, size: Size, scheme: Scheme
) -> None:
    """Overview, runs, a run and failures: whole on a phone, in the dark, and for a screen reader."""
    pages = {
        "overview": HOME,
        "runs": list_url("syncrun"),
        "run": page_url("syncrun", failed_run.pk),
        "failures": list_url("syncfailure"),
    }
    window = page(HOME, client=boss, size=size, scheme=scheme)
    for name, url in pages.items():
        window.page.goto(url)
        assert not window.scrolls_sideways(), name
        assert window.problems == [], name
        assert window.serious_violations() == [], name
        # On some pages axe itself tries an inline style, which the policy is there to stop.
        window.problems.clear()
        window.shoot(f"{name}-{size}-{scheme}")


def test_operator_sees_at_once_what_is_wrong_and_goes_there_by_keyboard(
    page: OpenPage, boss: Client, failed_run: SyncRun
) -> None:
    """The first heading says it; the first stops in the page are what can be done about it."""
    window = page(HOME, client=boss)
    headline = window.page.get_by_role("heading", level=2).first
    expect(headline).to_have_text("Customers see wrong balances: 2 cards, the oldest for 43 min.")
    stops = window.tab_stops()
    in_page = stops[stops.index("Loyalty wallet") + 1 :] if "Loyalty wallet" in stops else stops
    actions = [stop for stop in in_page if stop.lower().startswith(("check now", "show these"))]
    assert [action.lower() for action in actions] == ["check now", "show these cards : rejected"]
    window.page.get_by_role("link", name="Show these cards").focus()
    window.page.keyboard.press("Enter")
    expect(window.page.get_by_text("2 sync failures")).to_be_visible()


def test_failed_cards_of_a_run_are_retried(
    page: OpenPage, boss: Client, failed_run: SyncRun
) -> None:
    """From the run's page through the question to cards that are right."""
    window = page(page_url("syncrun", failed_run.pk), client=boss)
    window.page.get_by_role("button", name="Retry failed cards").click()
    expect(window.page.get_by_role("heading", name="Re-sync 2 cards?")).to_be_visible()
    window.page.get_by_role("button", name="Yes, re-sync").click()
    expect(window.page.get_by_text("2 cards are up to date.")).to_be_visible()
    window.page.goto(HOME)
    expect(window.page.get_by_role("heading", name="Every phone is right.")).to_be_visible()


def _watch(page: OpenPage, client: Client, run: SyncRun) -> Window:
    """Open the page of a run with a clock that the test moves."""
    window = page(HOME, client=client)
    window.page.clock.install()
    window.page.goto(page_url("syncrun", run.pk))
    return window


def test_run_is_watched_to_its_end(page: OpenPage, boss: Client, right_cards: MakeCards) -> None:
    """The page follows a run by itself, and shows the whole of it once it has ended."""
    right_cards(4)
    WalletPass.objects.update(due_at=timezone.now())
    now = timezone.now()
    run = SyncRun.objects.create(
        status="running", started_at=now, heartbeat_at=now, selection={"kind": "due"}
    )
    window = _watch(page, boss, run)
    status = window.page.get_by_role("status")
    expect(status).to_contain_text("0 passes done, 0 failed, 4 left")
    WalletPass.objects.filter(pk__in=WalletPass.objects.values("pk")[:3]).update(due_at=None)
    SyncBatch.objects.create(run=run, worker="w", wallet="google", counts={"updated": 3})
    window.page.clock.run_for(POLL_MS)
    expect(status).to_contain_text("3 passes done, 0 failed, 1 left")
    assert window.page.get_by_role("progressbar").get_attribute("value") == "75"
    SyncRun.objects.filter(pk=run.pk).update(status="succeeded", finished_at=timezone.now())
    window.page.clock.run_for(POLL_MS)
    expect(window.page.get_by_text("Every selected card is up to date.")).to_be_visible()
    expect(status).to_have_count(0)


def test_watching_goes_on_when_the_server_answers_again(
    page: OpenPage, boss: Client, right_cards: MakeCards
) -> None:
    """A server that does not answer is told of, and what is shown is not taken for news."""
    right_cards(1)
    run = SyncRun.objects.create(status="running", started_at=timezone.now())
    window = _watch(page, boss, run)
    silence = window.page.get_by_text("The server does not answer")
    expect(silence).to_be_hidden()
    window.page.context.set_offline(True)
    window.page.clock.run_for(POLL_MS)
    expect(silence).to_be_visible()
    window.page.context.set_offline(False)
    window.page.clock.run_for(2 * POLL_MS)
    expect(silence).to_be_hidden()
    # The browser notes that the network was away.
    window.problems.clear()


def test_viewer_sees_everything_and_may_do_nothing(page: OpenPage, failed_run: SyncRun) -> None:
    """No button, no action: whoever may only look is not led to a refusal."""
    user = User.objects.create(username="viewer", is_staff=True)
    views = Permission.objects.filter(
        content_type__app_label="loyalty_wallet", codename__startswith="view_"
    )
    user.user_permissions.set(views)
    client = Client()
    client.force_login(user)
    window = page(HOME, client=client)
    expect(window.page.get_by_text("Customers see wrong balances")).to_be_visible()
    for url in (HOME, page_url("syncrun", failed_run.pk), list_url("syncfailure")):
        window.page.goto(url)
        expect(window.page.locator(".lw-tool button")).to_have_count(0)
        expect(window.page.locator("select[name=action] option[value=resync_cards]")).to_have_count(
            0
        )
