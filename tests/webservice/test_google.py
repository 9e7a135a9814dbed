"""Google's callbacks: a customer acts, Google tells us, and the card's presence is right."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import time_machine
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer

from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import GoogleCallback, LoyaltyCard, WalletPass
from loyalty_wallet.registry import get_wallets
from loyalty_wallet.sync import sync_wallet_passes, touch
from loyalty_wallet.wallets.google import GoogleWallet, callbacks
from loyalty_wallet.wallets.google.save_links import save_link
from loyalty_wallet.webservice.callbacks import record
from tests.shopfront import Configure, pass_of

pytestmark = pytest.mark.django_db(transaction=True)

MakeCards = Callable[[int], list[LoyaltyCard]]
Presence = WalletPass.Presence
Source = WalletPass.PresenceSource


@pytest.fixture
def url(live_server: LiveServer, configure: Configure) -> str:
    """Where Google finds us; all classes name it."""
    url = f"{live_server.url}/wallet/google/callback/"
    configure(callback_url=url)
    return url


@pytest.fixture
def card(url: str, right_cards: MakeCards) -> LoyaltyCard:
    (made,) = right_cards(1)
    return made


def google_wallet(alias: str = "google") -> GoogleWallet:
    wallet = get_wallets()[alias]
    assert isinstance(wallet, GoogleWallet)
    return wallet


def link_for(card: LoyaltyCard, alias: str = "google") -> str:
    wallet = google_wallet(alias)
    row = WalletPass.objects.get(card_key=card.key, wallet=alias)
    class_id = wallet.program_id(row.program_key)
    return save_link(wallet.account, object_id=row.remote_id, class_id=class_id)


def post(url: str, body: bytes, **headers: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.post(url, data=body, headers=headers, timeout=10, allow_redirects=False)


def presence_of(card: LoyaltyCard) -> tuple[str, str]:
    row = pass_of(card)
    return row.presence, row.presence_source


def statuses(google: GoogleEmulator) -> list[int | None]:
    return [callback.status for callback in google.callbacks]


class TestPresence:
    def test_a_customer_saves_and_removes_a_card(
        self, google: GoogleEmulator, card: LoyaltyCard
    ) -> None:
        """Each is known at once, with how and since when."""
        assert presence_of(card) == (Presence.UNKNOWN, "")
        assert google.customer_saves(card.save_link()) == [card.google_object_id]
        assert presence_of(card) == (Presence.IN_WALLET, Source.CALLBACK)
        saved_at = pass_of(card).presence_at
        assert saved_at is not None
        assert (timezone.now() - saved_at).total_seconds() < 60

        google.customer_removes(card.google_object_id)
        assert presence_of(card) == (Presence.REMOVED, Source.CALLBACK)
        assert statuses(google) == [200, 200]
        assert GoogleCallback.objects.filter(wallet_pass=pass_of(card)).count() == 2

    def test_repetitions_change_nothing(self, google: GoogleEmulator, card: LoyaltyCard) -> None:
        """A save that comes again after the card has gone does not bring it back."""
        google.customer_saves(link_for(card), callback="twice")
        google.customer_removes(card.google_object_id)
        google.repeat_callbacks()
        assert presence_of(card) == (Presence.REMOVED, Source.CALLBACK)
        assert statuses(google) == [200, 200]
        assert GoogleCallback.objects.count() == 2

    def test_at_once(self, google: GoogleEmulator, card: LoyaltyCard, url: str) -> None:
        """Of several copies that come at the same moment one counts, and all are received."""
        _, body = google._service.callback_signer.sign(
            object_id=card.google_object_id, class_id=f"{google.issuer_id}.coffee", event="save"
        )
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: post(url, json.dumps(body).encode()), range(8)))
        assert {answer.status_code for answer in answers} == {200}
        assert GoogleCallback.objects.count() == 1
        assert presence_of(card) == (Presence.IN_WALLET, Source.CALLBACK)

    @pytest.mark.parametrize("newest_first", [False, True])
    def test_any_order(self, google: GoogleEmulator, card: LoyaltyCard, newest_first: bool) -> None:
        """What the customer did last holds, in whatever order we hear of it."""
        google.customer_saves(link_for(card), callback="held")
        google.customer_removes(card.google_object_id, callback="held")
        google.customer_saves(link_for(card), callback="held")
        google.release_callbacks(newest_first=newest_first)
        assert presence_of(card) == (Presence.IN_WALLET, Source.CALLBACK)
        assert statuses(google) == [200, 200, 200]

    def test_late_save(self, google: GoogleEmulator, card: LoyaltyCard) -> None:
        """A save that was overtaken by its removal does not win."""
        google.customer_saves(link_for(card), callback="held")
        google.customer_removes(card.google_object_id)
        google.release_callbacks()
        assert presence_of(card) == (Presence.REMOVED, Source.CALLBACK)

    def test_another_card_is_not_touched(
        self, google: GoogleEmulator, url: str, right_cards: MakeCards
    ) -> None:
        """Each callback is about one card."""
        cards = right_cards(3)
        google.customer_saves(link_for(cards[1]))
        assert [presence_of(card)[0] for card in cards] == [
            Presence.UNKNOWN,
            Presence.IN_WALLET,
            Presence.UNKNOWN,
        ]

    @pytest.mark.parametrize("events", [("save", "del"), ("del", "save")])
    def test_signed_in_the_same_moment(self, card: LoyaltyCard, events: tuple[str, str]) -> None:
        """A card that was saved and removed within a millisecond is taken to be gone."""
        expires_at = timezone.now() + timedelta(hours=1)
        for event in events:
            callback = callbacks.Callback(
                event=callbacks.Event(event),
                class_id="",
                object_id=card.google_object_id,
                nonce=event,
                expires_at=expires_at,
            )
            record(([google_wallet()], callback))
        assert presence_of(card) == (Presence.REMOVED, Source.CALLBACK)

    def test_one_of_several_holders_leaves(
        self, configure: Configure, google: GoogleEmulator, url: str, right_cards: MakeCards
    ) -> None:
        """Where several people may have one card, Google's next answer tells whether any is left."""
        configure(callback_url=url, holders="MULTIPLE_HOLDERS")
        (card,) = right_cards(1)
        google.customer_saves(link_for(card))
        google.customer_saves(link_for(card))
        google.customer_removes(card.google_object_id)
        assert presence_of(card) == (Presence.UNKNOWN, Source.CALLBACK)
        card.record("earn", points=1)
        sync_wallet_passes()
        assert presence_of(card) == (Presence.IN_WALLET, Source.ANSWER)

        google.customer_removes(card.google_object_id)
        assert presence_of(card) == (Presence.UNKNOWN, Source.CALLBACK)
        card.record("earn", points=1)
        sync_wallet_passes()
        assert presence_of(card) == (Presence.REMOVED, Source.ANSWER)

    def test_answers_are_hints(self, google: GoogleEmulator, card: LoyaltyCard) -> None:
        """What an answer mentions counts where nothing is known, and never against a callback."""
        google.customer_saves(link_for(card), callback="lost")
        card.record("earn", points=1)
        sync_wallet_passes()
        assert presence_of(card) == (Presence.IN_WALLET, Source.ANSWER)
        google.customer_removes(card.google_object_id)
        google.edit_object(card.google_object_id, hasUsers=True)
        card.record("earn", points=1)
        sync_wallet_passes()
        assert presence_of(card) == (Presence.REMOVED, Source.CALLBACK)

    def test_a_card_that_nobody_has_added_stays_unknown(self, card: LoyaltyCard) -> None:
        """Not having been added yet is another thing than having been removed."""
        card.record("earn", points=1)
        sync_wallet_passes()
        assert presence_of(card) == (Presence.UNKNOWN, "")

    def test_removed_during_a_run(self, google: GoogleEmulator, card: LoyaltyCard) -> None:
        """A card that its customer removes meanwhile fails nothing, and stays right at Google."""
        google.customer_saves(link_for(card))
        card.record("earn", points=5)
        acted = threading.Event()
        object_id = card.google_object_id

        def remove_once(_: object) -> None:
            if not acted.is_set():
                acted.set()
                google.customer_removes(object_id)

        google.on_request = remove_once
        report = sync_wallet_passes()
        google.on_request = None
        assert (report.status, report.cards["failed"]) == ("succeeded", 0)
        assert google.objects[card.google_object_id]["loyaltyPoints"]["balance"]["int"] == 5
        assert presence_of(card) == (Presence.REMOVED, Source.CALLBACK)


class TestRefusals:
    @pytest.mark.parametrize("order", ["forged", "expired"])
    def test_not_from_google_or_too_old(
        self, google: GoogleEmulator, card: LoyaltyCard, order: Any
    ) -> None:
        """It is refused, and nothing follows from it."""
        google.customer_saves(link_for(card), callback=order)
        assert statuses(google) == [400]
        assert presence_of(card) == (Presence.UNKNOWN, "")
        assert not GoogleCallback.objects.exists()

    def test_replay_after_its_nonce_has_been_forgotten(
        self, google: GoogleEmulator, card: LoyaltyCard
    ) -> None:
        """A nonce is kept for longer than its message holds."""
        google.customer_saves(link_for(card))
        with time_machine.travel(timezone.now() + timedelta(hours=2), tick=True):
            google.repeat_callbacks()
        assert statuses(google) == [400]
        assert GoogleCallback.objects.count() == 1

    def test_real_callbacks_of_others(self, url: str, card: LoyaltyCard) -> None:
        """Google's own messages, but for other issuers and of years ago."""
        vectors = Path(__file__).parent.parent / "wallets/google/callback_vectors.json"
        for vector in json.loads(vectors.read_text(encoding="utf-8")):
            assert post(url, json.dumps(vector["payload"]).encode()).status_code == 400
        assert not GoogleCallback.objects.exists()

    def test_nonsense(self, url: str) -> None:
        """Whatever is sent is refused in order."""
        for body in (
            b"",
            b"{",
            b"[]",
            b'{"signedMessage": "{}"}',
            b'{"signedMessage": "[' + b"[" * 8000 + b'"}',
            b"\x00\xff",
        ):
            assert post(url, body).status_code == 400, body[:30]
        assert post(url, b" " * 16_385).status_code == 413

    def test_other_methods(self, url: str) -> None:
        """Only POST means anything here."""
        answer = requests.get(url, timeout=10)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")

    def test_a_card_that_is_not_ours(
        self, google: GoogleEmulator, card: LoyaltyCard, url: str
    ) -> None:
        """Another system of the same issuer may have cards: received, and nothing follows."""
        remote_id = card.google_object_id
        WalletPass.objects.all().delete()
        google.edit_object(remote_id, hasUsers=True)
        google._customers._tell(remote_id, "save", "once")
        assert statuses(google) == [200]
        assert GoogleCallback.objects.get().wallet_pass is None


class TestKeysOutOfReach:
    @pytest.mark.parametrize("action", ["hang", "drip"])
    def test_google_is_asked_to_come_again(
        self,
        google: GoogleEmulator,
        card: LoyaltyCard,
        action: Any,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Without the keys nothing is believed or refused; and they are not asked for on and on."""
        monkeypatch.setattr(google_wallet().callback_keys, "_timeout_seconds", 0.3)
        google.misbehave(action, endpoint="keys")
        google.customer_saves(link_for(card))
        google.repeat_callbacks()
        assert statuses(google) == [503]
        assert presence_of(card) == (Presence.UNKNOWN, "")
        assert len([entry for entry in google.requests if entry.kind == "keys"]) == 1

        google.heal()
        monkeypatch.setattr(callbacks, "REFETCH_SECONDS", 0)
        google.repeat_callbacks()
        assert statuses(google) == [200]
        assert presence_of(card) == (Presence.IN_WALLET, Source.CALLBACK)


def test_several_brands(
    settings: Any, configure: Configure, url: str, google: GoogleEmulator, make_cards: MakeCards
) -> None:
    """The object's issuer says whose card it is, though all brands share one door."""
    with GoogleEmulator(issuer_id="3388000000000000002", requests_per_second=None) as other:
        backend = settings.LOYALTY_WALLET["WALLETS"]["google"]["BACKEND"]
        options = {**other.wallet_options, "callback_url": url, "requests_per_second": None}
        settings.LOYALTY_WALLET = {
            **settings.LOYALTY_WALLET,
            "WALLETS": {
                **settings.LOYALTY_WALLET["WALLETS"],
                "tea": {"BACKEND": backend, "OPTIONS": options},
            },
        }
        coffee, tea = make_cards(2)
        program = tea.program
        program.pk, program.slug, program.google_wallet = None, "tea", "tea"
        program.save()
        LoyaltyCard.objects.filter(pk=tea.pk).update(program=program)
        WalletPass.objects.filter(card_key=tea.key).delete()
        touch([tea.key])
        assert sync_wallet_passes().status == "succeeded"

        other.customer_saves(link_for(tea, "tea"))
        assert [callback.status for callback in other.callbacks] == [200]
        passes = WalletPass.objects.values_list("card_key", "wallet", "presence")
        assert sorted(passes) == sorted(
            [
                (coffee.key, "google", Presence.UNKNOWN),
                (tea.key, "tea", Presence.IN_WALLET),
            ]
        )
        # The other brand's Google cannot speak for this one's cards.
        nonce, body = other._service.callback_signer.sign(
            object_id=coffee.google_object_id,
            class_id=f"{google.issuer_id}.coffee",
            event="save",
        )
        assert nonce
        assert post(url, json.dumps(body).encode()).status_code == 400
