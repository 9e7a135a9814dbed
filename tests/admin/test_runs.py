"""Runs and failures in the admin."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone, translation

from loyalty_wallet.admin.words import command, duration, scope, share
from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.exceptions import failure_classes
from loyalty_wallet.models import LoyaltyCard, SyncBatch, SyncFailure, SyncRun, WalletPass
from loyalty_wallet.sync import Selection, sync_wallet_passes
from tests.shopfront import Configure, pass_of

from .pages import list_url, page_url, text_of

MakeCards = Callable[[int], list[LoyaltyCard]]
SINCE = "2026-03-01T08:00:00+00:00"


@pytest.mark.parametrize(
    ("stored", "words", "line"),
    [
        ({"kind": "due"}, "everything due", ""),
        ({"kind": "due", "program": "tea"}, "everything due, program tea", "--program tea"),
        ({"kind": "cards", "cards": ["4711"]}, "card 4711", "--card 4711"),
        ({"kind": "cards", "cards": ["1", "a b"]}, "2 cards", "--card 1 --card 'a b'"),
        (
            {"kind": "failed", "wallet": "g"},
            "everything that failed, wallet g",
            "--failed --wallet g",
        ),
        ({"kind": "run", "run_id": 7}, "what failed in run 7", "--run 7"),
        ({"kind": "since", "since": SINCE}, "changes since 03/01/2026 8 a.m.", f"--since {SINCE}"),
        ({"kind": "all"}, "all passes", "--all"),
    ],
)
def test_scope_in_words_and_as_a_command(stored: dict[str, str], words: str, line: str) -> None:
    """What a run is about is said in words and as a line to paste."""
    assert scope(stored) == words
    assert command(stored) == f"manage.py sync_wallet_passes {line}".strip()


@pytest.mark.parametrize(
    ("language", "length", "part"), [("en", "1.3 s", "36.4 %"), ("de", "1,3 s", "36,4 %")]
)
def test_numbers_are_the_readers(language: str, length: str, part: str) -> None:
    """Numbers are rounded, and written as the reader's language writes them."""
    with translation.override(language):
        assert (duration(1.26), share(4, 11)) == (length, part)


def test_senseless_scope_breaks_no_page(boss: Client) -> None:
    """A selection that nobody can read is said to be unknown."""
    run = SyncRun.objects.create(selection={"kind": "odd"}, status="failed")
    assert "unknown" in text_of(boss.get(list_url("syncrun")))
    assert "unknown" in text_of(boss.get(page_url("syncrun", run.pk)))


def test_many_cards_make_no_command() -> None:
    """A line of hundreds of keys would help nobody."""
    assert command(Selection.of_cards(map(str, range(21))).as_json()) == ""


def test_list_shows_totals_and_links_failures(
    boss: Client, right_cards: MakeCards, google: GoogleEmulator
) -> None:
    """A finished run shows its cards; the failed ones lead to its own failures, mended or not."""
    cards = right_cards(3)
    google.fail(status=400, object_id=cards[0].google_object_id)
    for card in cards[:2]:
        card.record("earn", points=1)
    sync_wallet_passes(trigger="schedule")
    run = SyncRun.objects.get(trigger="schedule")
    google.heal()
    answer = boss.get(list_url("syncrun"))
    assert "partial" in text_of(answer)
    url = f"{list_url('syncfailure')}?run__id__exact={run.pk}&amp;state=all"
    assert f'<a href="{url}">1</a>' in answer.content.decode()
    sync_wallet_passes()
    page = text_of(boss.get(url.replace("&amp;", "&")))
    assert "rejected" in page
    assert "1 sync failure" in page


def test_running_run_shows_how_far_it_is(boss: Client) -> None:
    """A run without totals shows the sum of its batches so far."""
    now = timezone.now()
    run = SyncRun.objects.create(status="running", started_at=now, heartbeat_at=now)
    for _ in range(2):
        counts = {"created": 1, "updated": 20, "unchanged": 5, "failed": 2, "deferred": 1}
        SyncBatch.objects.create(run=run, worker="w", wallet="google", counts=counts)
    page = text_of(boss.get(list_url("syncrun")))
    assert "running" in page
    assert all(words in page for words in ("42 so far", "10 so far", "6 so far"))


@pytest.mark.parametrize(("minutes", "word"), [(4, "running"), (6, "stalled")])
def test_silent_run_is_stalled(boss: Client, minutes: int, word: str) -> None:
    """A running run without a sign of life for five minutes is called what it is."""
    seen_at = timezone.now() - timedelta(minutes=minutes)
    run = SyncRun.objects.create(status="running", started_at=seen_at, heartbeat_at=seen_at)
    answer = boss.get(list_url("syncrun"))
    assert f">{word}</span>" in answer.content.decode()
    assert ("no sign of life" in text_of(boss.get(page_url("syncrun", run.pk)))) is (minutes > 5)


@pytest.mark.parametrize("status", SyncRun.Status.values)
def test_every_status_has_a_sentence(boss: Client, status: str) -> None:
    """The page of a run says in words how it goes or ended, whatever its status."""
    run = SyncRun.objects.create(status=status, started_at=timezone.now())
    page = text_of(boss.get(page_url("syncrun", run.pk)))
    said = page.split("What happened:")[1].split("Scope:")[0]
    assert len(said.split()) > 2


def test_run_page_shows_what_went_wrong(
    boss: Client, right_cards: MakeCards, google: GoogleEmulator
) -> None:
    """Failures are grouped by code with a remedy, listed up to 20, and can be tried again."""
    cards = right_cards(25)
    google.fail(status=400)
    for card in cards:
        card.record("earn", points=1)
    run_id = sync_wallet_passes().run_id
    answer = boss.get(page_url("syncrun", run_id))
    page = text_of(answer)
    assert "rejected 25 25 The provider refused what was sent" in page
    assert "Correct the card or program data" in page
    assert "See all 25 failures of this run" in page
    assert answer.content.decode().count("/walletpass/") == 20 + 1  # and the menu's
    assert f"manage.py sync_wallet_passes --run {run_id}" in page
    assert "google 0 0 0 25 0 25 25" in page


def test_run_page_names_the_remedy_of_a_stopped_wallet(
    boss: Client, right_cards: MakeCards, google: GoogleEmulator
) -> None:
    """A refused key is explained on the page of the run that it stopped."""
    (card,) = right_cards(1)
    google.revoke_key()
    google.revoke_tokens()
    card.record("earn", points=1)
    run_id = sync_wallet_passes().run_id
    page = text_of(boss.get(page_url("syncrun", run_id)))
    assert "google: unauthorized:" in page
    assert "Create a new key for the service account" in page


def test_run_page_links_retries(boss: Client) -> None:
    """A run and the one that tried it again lead to each other."""
    first = SyncRun.objects.create(status="failed")
    second = SyncRun.objects.create(status="succeeded", retry_of=first)
    assert (
        page_url("syncrun", second.pk) in boss.get(page_url("syncrun", first.pk)).content.decode()
    )
    assert (
        page_url("syncrun", first.pk) in boss.get(page_url("syncrun", second.pk)).content.decode()
    )


def test_run_page_survives_wrong_settings(boss: Client, configure: Configure) -> None:
    """History can be read while a wallet cannot be built."""
    run = SyncRun.objects.create(status="failed", error="A wallet could not be built.")
    configure(api_url="http://example.com")
    assert "api_url must be https" in text_of(boss.get(page_url("syncrun", run.pk)))


def _failures(configure: Configure) -> dict[str, SyncFailure]:
    """One failure of each code, the first of them resolved."""
    run = SyncRun.objects.create(status="partial")
    made = {}
    for number, (code, failure) in enumerate(failure_classes().items()):
        row = WalletPass.objects.create(
            card_key=f"key-{number}",
            wallet="google",
            remote_id=f"issuer.remote-{number}",
            card_label=f"Label {number}",
        )
        made[code] = SyncFailure.objects.create(
            run=run,
            wallet_pass=row,
            code=code,
            message=f"<i>{code}</i> " + "x" * 200,
            is_retryable=failure.is_retryable,
            failed_at=timezone.now(),
            resolved_at=timezone.now() if number == 0 else None,
        )
    return made


def test_failure_list_shows_open_ones_first_of_all(boss: Client, configure: Configure) -> None:
    """Nobody looks for what is mended: resolved failures are one click away."""
    made = _failures(configure)
    count = len(made)
    for query, expected in (("", count - 1), ("?state=resolved", 1), ("?state=all", count)):
        answer = boss.get(list_url("syncfailure") + query)
        assert answer.context["cl"].result_count == expected
    assert "By state open resolved all" in text_of(boss.get(list_url("syncfailure")))


@pytest.mark.parametrize(
    ("query", "codes"),
    [
        ("code=rejected", {"rejected"}),
        (
            "is_retryable__exact=1&state=all",
            {c for c, f in failure_classes().items() if f.is_retryable},
        ),
        ("wallet=google&code=bug", {"bug"}),
        ("q=key-3", {list(failure_classes())[3]}),
        ("q=Label+12", {list(failure_classes())[12]}),
        ("q=issuer.remote-5", {list(failure_classes())[5]}),
    ],
)
def test_failures_are_filtered_and_found(
    boss: Client, configure: Configure, query: str, codes: set[str]
) -> None:
    """Filters and the search box narrow the list to what was asked for."""
    _failures(configure)
    answer = boss.get(f"{list_url('syncfailure')}?{query}")
    assert {row.code for row in answer.context["cl"].result_list} == codes


def test_every_failure_page_shows_its_remedy(boss: Client, configure: Configure) -> None:
    """Whatever the code, the page says what to do; a provider's words are never markup."""
    for code, failure in _failures(configure).items():
        answer = boss.get(page_url("syncfailure", failure.pk))
        assert failure_classes()[code].remedy in text_of(answer)
        assert f"<i>{code}</i>" not in answer.content.decode()


@pytest.mark.parametrize(
    ("changes", "word", "status"),
    [
        ({}, "right", "right"),
        ({"due": 12}, "due since 12 min", "due"),
        ({"due": 12, "is_forced": True}, "forced: due since 12 min", "due"),
        ({"due": 200, "last_code": "timeout"}, "failing: timeout", "failing"),
        (
            {"due": 200, "last_code": "rejected", "state": "set_aside"},
            "set aside: rejected",
            "set_aside",
        ),
    ],
)
def test_status_of_a_pass_in_words(
    boss: Client, configure: Configure, changes: dict[str, object], word: str, status: str
) -> None:
    """A pass is called what it is, and its filter finds it."""
    values = dict(changes)
    if isinstance(minutes := values.pop("due", None), int):
        values["due_at"] = timezone.now() - timedelta(minutes=minutes)
    WalletPass.objects.create(card_key="1", wallet="google", remote_id="r", **values)
    answer = boss.get(list_url("walletpass"))
    assert f">{word}</span>" in answer.content.decode()
    for name in ("due", "failing", "set_aside", "right"):
        found = boss.get(f"{list_url('walletpass')}?status={name}").context["cl"].result_count
        assert found == (name in {status, "due" if status == "failing" else status})


def test_pass_page_shows_payload_as_text(boss: Client, right_cards: MakeCards) -> None:
    """The delivered payload is readable JSON, whatever a customer is called."""
    (card,) = right_cards(1)
    row = pass_of(card)
    row.payload = {"accountName": "<script>alert(1)</script> Zoë"}
    row.save()
    answer = boss.get(page_url("walletpass", row.pk)).content.decode()
    assert "&lt;script&gt;alert(1)" in answer
    assert "<script>alert" not in answer
    assert "Zoë" in answer


def test_pass_list_links_the_card(boss: Client, right_cards: MakeCards) -> None:
    """The card of a pass leads to the page that the card source names."""
    (card,) = right_cards(1)
    page = boss.get(list_url("walletpass")).content.decode()
    assert f'<a href="{page_url("loyaltycard", card.pk)}">{card.card_number}</a>' in page


def test_times_are_local_and_exact_on_hover(boss: Client) -> None:
    """Times are in the reader's zone, with the exact value in the title."""
    SyncRun.objects.create(status="succeeded", started_at="2026-03-01T08:00:05Z")
    with timezone.override("Europe/Paris"):
        page = boss.get(list_url("syncrun")).content.decode()
    assert 'title="2026-03-01 09:00:05+01:00">03/01/2026 9 a.m.</time>' in page


def test_list_does_without_days_where_the_database_knows_no_time_zones(
    boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A MariaDB whose time zone tables are empty shows runs all the same, wherever the reader is."""
    SyncRun.objects.create(status="succeeded", started_at="2026-03-01T08:00:05Z")
    if connection.features.has_zoneinfo_database:
        assert "toplinks" in boss.get(list_url("syncrun")).content.decode()
    monkeypatch.setattr(connection.features, "has_zoneinfo_database", False)
    with timezone.override("Europe/Paris"):
        answer = boss.get(list_url("syncrun"))
    assert "toplinks" not in answer.content.decode()
    assert answer.context["cl"].result_count == 1


def test_requester_is_shown(boss: Client) -> None:
    """Who asked for a run stands in the list."""
    SyncRun.objects.create(status="succeeded", requested_by=User.objects.get(username="boss"))
    assert "boss" in text_of(boss.get(list_url("syncrun"))).split("Requested by")[1]
