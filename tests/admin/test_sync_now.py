"""The button that syncs one row at once, from its page."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, SyncFailure, SyncRun, WalletPass
from loyalty_wallet.sync import sync_wallet_passes
from tests.phonefront import iphone_pass
from tests.shopfront import Configure, balance_at, pass_of

from .pages import messages_of, page_url, sync_buttons, sync_url, text_of

MakeCards = Callable[[int], list[LoyaltyCard]]


def test_resolved_failure_can_be_sent_from_its_page(
    boss: Client, right_cards: MakeCards, google: GoogleEmulator
) -> None:
    """The button of a page is about its row, whatever lists show by default."""
    (card,) = right_cards(1)
    fault = google.fail(status=400)
    card.record("earn", points=7)
    sync_wallet_passes()
    google.heal(fault)
    sync_wallet_passes()
    page = boss.get(page_url("syncfailure", SyncFailure.objects.get().pk))
    assert sync_buttons(page) == [
        ("Sync now", sync_url("syncfailure", SyncFailure.objects.get().pk), False),
        ("Sync even if unchanged", sync_url("syncfailure", SyncFailure.objects.get().pk), True),
    ]
    google._service.log.clear()
    boss.post(sync_url("syncfailure", SyncFailure.objects.get().pk), {"force": "on"})
    assert [entry.method for entry in google.object_requests] == ["PATCH"]


class TestOneClick:
    def test_card_is_synced_from_its_page(
        self, boss: Client, right_cards: MakeCards, google: GoogleEmulator
    ) -> None:
        """One click, one attempt, one message, back on the page that shows the outcome."""
        (card,) = right_cards(1)
        LoyaltyCard.objects.update(points_balance=7)
        page = boss.get(page_url("loyaltycard", card.pk))
        assert "google wrong" in text_of(page)
        assert sync_buttons(page)[0] == ("Sync now", sync_url("loyaltycard", card.pk), False)
        answer = boss.post(sync_url("loyaltycard", card.pk), follow=True)
        assert answer.redirect_chain == [(page_url("loyaltycard", card.pk), 302)]
        (message,) = messages_of(answer)
        assert message.startswith("1 card is up to date.")
        assert "google right" in text_of(answer)
        assert balance_at(google, card) == 7
        run = SyncRun.objects.get(trigger="admin")
        assert LogEntry.objects.get().change_message == f"Re-sync: run {run.pk}."

    def test_it_is_not_carried_out_by_a_link(self, boss: Client, right_cards: MakeCards) -> None:
        """Effects need a POST."""
        (card,) = right_cards(1)
        assert boss.get(sync_url("loyaltycard", card.pk)).status_code == 405
        assert not SyncRun.objects.filter(trigger="admin").exists()

    @pytest.mark.usefixtures("configure_apple")
    def test_a_pass_is_synced_in_its_own_wallet(
        self, boss: Client, right_cards: MakeCards, google: GoogleEmulator
    ) -> None:
        """The other wallet of the card is left alone."""
        (card,) = right_cards(1)
        boss.post(sync_url("walletpass", iphone_pass(card).pk), {"force": "on"})
        run = SyncRun.objects.get(trigger="admin")
        assert run.selection == {"kind": "cards", "cards": [card.key], "wallet": "apple"}
        assert google.object_requests == []

    @pytest.mark.usefixtures("configure_apple")
    def test_buttons_of_each_wallet_lead_back_to_the_card(
        self, boss: Client, right_cards: MakeCards
    ) -> None:
        """They are outside the form that saves the card, and only lead to pages of ours."""
        (card,) = right_cards(1)
        url = page_url("loyaltycard", card.pk)
        row = pass_of(card)
        page = boss.get(url).content.decode()
        assert (
            f'<form id="lw-sync-{row.pk}" method="post" action="{sync_url("walletpass", row.pk)}">'
            in page
        )
        assert f'form="lw-sync-{row.pk}"' in page
        answer = boss.post(sync_url("walletpass", row.pk), {"next": url})
        assert answer["Location"] == url
        answer = boss.post(sync_url("walletpass", row.pk), {"next": "https://elsewhere.example/"})
        assert answer["Location"] == page_url("walletpass", row.pk)

    def test_a_wallet_that_is_not_configured_is_told(
        self, boss: Client, configure: Configure, google: GoogleEmulator
    ) -> None:
        """A pass that was left behind by a wallet which is gone from the settings."""
        row = WalletPass.objects.create(card_key="1", wallet="gone", remote_id="r")
        (message,) = messages_of(boss.post(sync_url("walletpass", row.pk), follow=True))
        assert "No wallet &#x27;gone&#x27; is configured" in message

    def test_wrong_settings_are_told(self, boss: Client, configure: Configure) -> None:
        """The page and its button say what is wrong, and do not break."""
        row = WalletPass.objects.create(card_key="1", wallet="google", remote_id="r")
        configure(api_url="http://example.com")
        assert "the settings are wrong" in text_of(boss.get(page_url("walletpass", row.pk)))
        (message,) = messages_of(boss.post(sync_url("walletpass", row.pk), follow=True))
        assert "api_url must be https" in message
