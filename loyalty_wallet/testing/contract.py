"""What the sync asks of every wallet, as tests to inherit from: `WalletContract`.

Needs `pytest_plugins = ["loyalty_wallet.testing"]`, so that what a failing test compared is shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from ..cards import Barcode, Card, Program, ProgramKind
from ..conf import WalletConf
from ..exceptions import DeliveryError, failure_classes
from ..models import LoyaltyCard, LoyaltyProgram, WalletPass
from ..registry import build_wallet, get_wallets
from ..sync import SyncReport, sync_wallet_passes
from ..wallets.base import Wallet, canonical_json
from .provider import RETRYABLE, ProviderDouble, Trouble
from .settings import AT_ONCE

__all__ = ["ProviderDouble", "Trouble", "WalletContract"]

ALIAS = "contract"
ATTEMPTS = len(AT_ONCE) + 1
SHORT_SECONDS = 0.3
"""For providers that hang."""
PROGRAM = Program(
    key="contract",
    name="Coffee Club",
    issuer_name="Corner Café",
    kind=ProgramKind.HYBRID,
    stamps_required=10,
    wallets=(ALIAS,),
)
CARD = Card(
    key="1",
    program=PROGRAM,
    card_number="C-1",
    holder_name="Ada Æxample",
    points_balance=120,
    stamps=3,
    barcode=Barcode(value="C-1"),
)


class WalletContract:
    """Inherit from it as `Test...`, and give it a fixture `provider` that returns a double."""

    @pytest.fixture
    def provider(self) -> ProviderDouble:
        raise NotImplementedError("Give the class a fixture `provider`.")

    @pytest.fixture
    def configure(self, settings: Settings, provider: ProviderDouble) -> Callable[..., Wallet]:
        """Puts the wallet alone into the settings, with changes to its OPTIONS."""

        def change(**changes: Any) -> Wallet:
            options = {**provider.options, **changes}
            settings.LOYALTY_WALLET = {
                "WALLETS": {ALIAS: {"BACKEND": provider.backend, "OPTIONS": options}},
                "RETRY_DELAYS": AT_ONCE,
            }
            return get_wallets()[ALIAS]

        return change

    @pytest.fixture
    def wallet(self, configure: Callable[..., Wallet]) -> Wallet:
        return configure()

    @pytest.fixture
    def new_card(
        self, wallet: Wallet, provider: ProviderDouble, db: None
    ) -> Callable[..., LoyaltyCard]:
        """Makes a card with 7 points, whose pass is due."""
        program = LoyaltyProgram.objects.create(
            slug="contract",
            name="Coffee Club",
            issuer_name="Corner Café",
            google_wallet=ALIAS,
            apple_wallet="",
        )

        def make(number: str = "C-1") -> LoyaltyCard:
            card = LoyaltyCard.objects.create(program=program, card_number=number, points_balance=7)
            provider.prepare(card)
            return card

        return make

    def test_a_new_card_arrives(
        self, provider: ProviderDouble, new_card: Callable[..., LoyaltyCard]
    ) -> None:
        """One sync, one pass, and the phone is right."""
        card = new_card()
        report = sync_wallet_passes()
        assert report.status == "succeeded"
        assert _changed(report) == 1
        assert provider.balance(_pass(card).remote_id) == 7
        assert not _pass(card).is_due

    def test_a_changed_card_is_updated_and_an_unchanged_one_costs_nothing(
        self, provider: ProviderDouble, new_card: Callable[..., LoyaltyCard]
    ) -> None:
        """The same pass shows the new balance; what is touched and the same is not sent."""
        card = new_card()
        sync_wallet_passes()
        remote_id = _pass(card).remote_id
        card.record("earn", points=3)
        report = sync_wallet_passes()
        assert report.wallets[ALIAS]["updated"] == 1
        assert _pass(card).remote_id == remote_id
        assert provider.balance(remote_id) == 10

        seen = provider.count_requests()
        WalletPass.objects.touch()
        report = sync_wallet_passes()
        assert (report.status, report.wallets[ALIAS]["unchanged"]) == ("succeeded", 1)
        assert provider.count_requests() == seen

    @pytest.mark.parametrize("trouble", RETRYABLE)
    def test_what_may_pass_is_tried_again(
        self,
        provider: ProviderDouble,
        configure: Callable[..., Wallet],
        new_card: Callable[..., LoyaltyCard],
        trouble: Trouble,
    ) -> None:
        """Once is nothing. Four times fails the card, which stays due until the provider is well."""
        card = new_card()
        if _is_slow(trouble):
            configure(timeout_seconds=SHORT_SECONDS)
        provider.suffer(trouble, times=1)
        report = sync_wallet_passes()
        assert report.status == "succeeded"
        # With a short timeout a slow machine may need one more.
        assert 2 <= report.wallets[ALIAS]["attempts"] <= (ATTEMPTS if _is_slow(trouble) else 2)

        card.record("earn", points=3)
        provider.suffer(trouble, times=None)
        report = sync_wallet_passes()
        (failure,) = report.failures
        assert (failure.code, failure.attempts) == (_code(provider, trouble), ATTEMPTS)
        assert _pass(card).is_due
        provider.recover()
        configure()
        _assert_mended(provider, card, 10)

    def test_a_provider_that_is_gone(
        self, provider: ProviderDouble, wallet: Wallet, new_card: Callable[..., LoyaltyCard]
    ) -> None:
        """Its cards stay due, a probe says so, and nothing is lost."""
        card = new_card()
        sync_wallet_passes()
        card.record("earn", points=3)
        provider.suffer(Trouble.NETWORK, times=None)
        (failure,) = sync_wallet_passes().failures
        assert failure.code == _code(provider, Trouble.NETWORK)
        assert _pass(card).is_due
        with pytest.raises(DeliveryError) as caught:
            asyncio.run(wallet.probe([]))
        assert caught.value.is_retryable
        provider.recover()
        _assert_mended(provider, card, 10)

    def test_what_is_refused_is_not_tried_again(
        self, provider: ProviderDouble, new_card: Callable[..., LoyaltyCard]
    ) -> None:
        """The card fails at once and stays due; a later run finds it mended."""
        card = new_card()
        sync_wallet_passes()
        card.record("earn", points=3)
        provider.suffer(Trouble.REJECTED, times=None)
        (failure,) = sync_wallet_passes().failures
        assert (failure.code, failure.attempts) == (_code(provider, Trouble.REJECTED), 1)
        assert _pass(card).is_due
        provider.recover()
        _assert_mended(provider, card, 10)

    def test_a_refused_key_stops_the_wallet(
        self, provider: ProviderDouble, new_card: Callable[..., LoyaltyCard]
    ) -> None:
        """No card is to blame: one clear failure, nothing tried twice, and all cards stay due."""
        cards = [new_card(f"C-{number}") for number in range(3)]
        provider.suffer(Trouble.UNAUTHORIZED, times=None)
        report = sync_wallet_passes()
        code = _code(provider, Trouble.UNAUTHORIZED)
        assert failure_classes()[code].stops_wallet
        assert report.status in ("failed", "partial")
        assert {failure.code for failure in report.failures} <= {code, "deferred"}
        assert report.error or report.failures
        assert all(_pass(card).is_due for card in cards)
        assert all(failure.attempts <= 1 for failure in report.failures)
        provider.recover()
        for card in cards:
            _assert_mended(provider, card, 7)

    def test_rendering_depends_on_nothing_but_the_card(
        self, wallet: Wallet, provider: ProviderDouble
    ) -> None:
        """Equal cards, equal bytes; another balance, other bytes. Nothing is sent for it."""
        program_id = wallet.program_id(PROGRAM.key)
        remote_id = wallet.remote_id("a1")

        def body(card: Card) -> bytes:
            return canonical_json(wallet.render(card, remote_id=remote_id, program_id=program_id))

        assert body(CARD) == body(replace(CARD, program=replace(PROGRAM)))
        assert body(CARD) != body(replace(CARD, points_balance=121))
        program = wallet.render_program(PROGRAM, program_id=program_id)
        assert canonical_json(program) == canonical_json(
            wallet.render_program(replace(PROGRAM), program_id=program_id)
        )
        assert remote_id == wallet.remote_id("a1") != wallet.remote_id("a2")
        assert provider.count_requests() == 0

    def test_wrong_options_are_found_without_the_network(
        self, wallet: Wallet, provider: ProviderDouble
    ) -> None:
        """`check` is content with good ones; bad ones are named there or when it is built."""
        assert wallet.check() == []
        options = {**provider.options, **provider.bad_options}
        try:
            complaints = build_wallet(
                ALIAS, WalletConf(backend=provider.backend, options=options)
            ).check()
        except ImproperlyConfigured as error:
            complaints = [str(error)]
        assert complaints
        assert all(complaint.strip() for complaint in complaints)

    def test_a_probe_changes_nothing(self, wallet: Wallet, provider: ProviderDouble) -> None:
        """It says that the provider is there and would serve us."""
        result = asyncio.run(wallet.probe([]))
        assert (result.is_reachable, result.is_authorised) == (True, True)
        assert result.publishing in (
            "unknown",
            "not_needed",
            "approved",
            "under_review",
            "draft",
            "rejected",
        )


def _is_slow(trouble: Trouble) -> bool:
    return trouble is Trouble.TIMEOUT


def _code(provider: ProviderDouble, trouble: Trouble) -> str:
    return provider.codes.get(trouble, trouble.value)


def _pass(card: LoyaltyCard) -> WalletPass:
    return WalletPass.objects.get(card_key=card.key, wallet=ALIAS)


def _changed(report: SyncReport) -> int:
    counts = report.wallets[ALIAS]
    return counts.get("created", 0) + counts["updated"]


def _assert_mended(provider: ProviderDouble, card: LoyaltyCard, balance: int) -> None:
    sync_wallet_passes()
    assert not _pass(card).is_due
    assert provider.balance(_pass(card).remote_id) == balance
