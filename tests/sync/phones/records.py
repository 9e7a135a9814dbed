"""Which phones were told, and what is on record for them."""

from __future__ import annotations

from loyalty_wallet.emulator.apple import ApnsEmulator
from loyalty_wallet.models import LoyaltyCard
from tests.phonefront import iphone_pass


def tokens(apns: ApnsEmulator) -> list[str]:
    return [push.push_token for push in apns.pushes]


def balance_on_record(card: LoyaltyCard) -> int:
    balance: int = iphone_pass(card).payload["pass"]["storeCard"]["headerFields"][0]["value"]
    return balance
