"""The demo's Apple: certificates of its own, a push service here, and the customers' iPhones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from loyalty_wallet.emulator.apple import ApnsEmulator, Authority, PassOnPhone, Phone, Push
from loyalty_wallet.models import LoyaltyCard, WalletPass
from loyalty_wallet.webservice.archives import archive_of

from .shop import APPLE, STAMPS_REQUIRED

PASS_TYPE = "pass.com.example.corner-coffee"
TEAM = "DEMOCORNER"
AT_ONCE = 4


class Iphones:
    """The customers' iPhones. Each holds one card, and fetches it when a push wakes it."""

    def __init__(self, authority: Authority, root_path: str) -> None:
        self.apns = ApnsEmulator(authority, on_push=self._ring)
        self._authority = authority
        self._root_path = root_path
        self._phones: dict[str, Phone] = {}
        self._push_tokens: dict[str, str] = {}
        self._hands = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="iphone")
        self._fetches: list[Future[None]] = []

    def __len__(self) -> int:
        return len(self._phones)

    def wallet_options(self, site_url: str) -> dict[str, Any]:
        """Return the options of a wallet whose phones are these."""
        return {
            "pass_type_identifier": PASS_TYPE,
            "team_identifier": TEAM,
            "certificate": self._authority.certificate_pem,
            "private_key": self._authority.private_key_pem,
            "wwdr_certificate": self._authority.wwdr_pem,
            "web_service_url": f"{site_url}/wallet/apple",
            "apns_url": self.apns.url,
            "apns_ca": self._root_path,
        }

    def hand_out(self, cards: Iterable[LoyaltyCard]) -> None:
        """Let the customers with these cards add them to their iPhones."""
        cards = list(cards)
        passes = WalletPass.objects.for_cards(card.key for card in cards).filter(wallet=APPLE)
        for wallet_pass in passes:
            phone = self._phones[wallet_pass.card_key] = Phone(self._authority)
            self._push_tokens[wallet_pass.card_key] = phone.push_token
            phone.add(archive_of(wallet_pass))

    def of(self, card: LoyaltyCard) -> Phone:
        """Return the phone with this card."""
        return self._phones[card.key]

    def lose(self, card: LoyaltyCard) -> None:
        """Let a customer wipe his phone: only APNs comes to know of it."""
        self.apns.fail(self.of(card).push_token, "unregistered")
        self._phones.pop(card.key).close()

    def count_pushes(self, card: LoyaltyCard) -> int:
        """Count the pushes so far to the phone with this card."""
        push_token = self._push_tokens.get(card.key)
        return sum(push.push_token == push_token for push in self.apns.pushes)

    def settle(self) -> None:
        """Wait until every phone that was woken has fetched."""
        while self._fetches:
            self._fetches.pop().result()

    def wrong(self) -> list[str]:
        """Return the keys of the cards whose phone shows something else than the database has.

        Compared by hand, not by the app's own rendering, which is on trial here.
        """
        self.settle()
        fresh = LoyaltyCard.objects.in_bulk([int(key) for key in self._phones])
        return [
            card.key
            for card in fresh.values()
            if not _shows(next(iter(self._phones[card.key].passes.values())), card)
        ]

    def close(self) -> None:
        self._hands.shutdown(cancel_futures=True)
        for phone in self._phones.values():
            phone.close()

    def _ring(self, push: Push) -> None:
        for phone in list(self._phones.values()):
            if phone.push_token == push.push_token:
                self._fetches.append(self._hands.submit(phone.wake))


@contextmanager
def iphones(folder: Path) -> Iterator[Iphones]:
    """Run the push service and keep the phones; the folder gets the authority to trust."""
    authority = Authority(pass_type_identifier=PASS_TYPE, team_identifier=TEAM)
    root = folder / "root.pem"
    root.write_bytes(authority.root_pem)
    phones = Iphones(authority, str(root))
    try:
        with phones.apns:
            yield phones
    finally:
        phones.close()


def _shows(on_phone: PassOnPhone, card: LoyaltyCard) -> bool:
    fields = {
        field["key"]: field["value"]
        for group in on_phone.content["storeCard"].values()
        for field in group
    }
    return bool(
        on_phone.balance == card.points_balance
        and fields["stamps"] == f"{card.stamps} / {STAMPS_REQUIRED}"
        and fields["member"] == card.holder_name
    )
