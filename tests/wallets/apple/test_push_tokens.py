"""Provider tokens, and the guard of the devices' tokens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import time_machine

from loyalty_wallet.emulator.apple import Authority
from loyalty_wallet.emulator.apple.provider_tokens import _decode, reason_to_refuse
from loyalty_wallet.exceptions import MisconfiguredError
from loyalty_wallet.wallets.apple.push_tokens import PushToken, TokenGuard
from loyalty_wallet.wallets.base import PushAnswer

from .conftest import TEAM

MINUTE = 60


@pytest.fixture
def token(apple: Authority) -> PushToken:
    return PushToken(apple.push_key_pem, key_id=apple.push_key_id, team_identifier=TEAM)


def age(token: PushToken, seconds: float) -> None:
    token._made_at -= seconds
    token._token = f"{token._token}-old"


class TestPushToken:
    def test_says_who_we_are(self, apple: Authority, token: PushToken) -> None:
        """ES256, the key's id, the team and the moment."""
        header, claims, _ = token.get().split(".")
        assert json.loads(_decode(header)) == {
            "alg": "ES256",
            "kid": apple.push_key_id,
            "typ": "JWT",
        }
        assert json.loads(_decode(claims)).keys() == {"iss", "iat"}
        assert reason_to_refuse(f"bearer {token.get()}", apple) == ""

    def test_is_kept(self, token: PushToken) -> None:
        """Apple answers 429 to those who make one a push."""
        assert token.get() is token.get()
        assert token.get(refused="another one") is token.get()

    def test_is_renewed_before_its_hour_is_over(self, token: PushToken) -> None:
        """After 50 minutes."""
        token.get()
        age(token, 51 * MINUTE)
        assert not token.get().endswith("-old")

    def test_is_renewed_when_refused_but_not_too_often(self, token: PushToken) -> None:
        """Every 20 minutes at most, whatever APNs says."""
        fresh = token.get()
        assert token.get(refused=fresh) == fresh
        age(token, 21 * MINUTE)
        assert token.get(refused=token.get()) != f"{fresh}-old"

    def test_an_old_one_is_refused(self, apple: Authority, token: PushToken) -> None:
        """The emulator knows the hour."""
        with time_machine.travel("2026-01-01T00:00:00+00:00"):
            old = token.get()
        assert reason_to_refuse(f"bearer {old}", apple) == "expired_provider_token"
        assert reason_to_refuse("bearer rubbish", apple) == "invalid_provider_token"

    def test_from_a_file(self, apple: Authority, tmp_path: Path) -> None:
        """As downloaded from Apple."""
        path = tmp_path / "AuthKey.p8"
        path.write_bytes(apple.push_key_pem)
        assert PushToken(str(path), key_id="K", team_identifier=TEAM).get().count(".") == 2

    @pytest.mark.parametrize("key", ["-----BEGIN PRIVATE KEY-----\nsecret", "/no/such/key.p8"])
    def test_a_key_that_is_none(self, key: str) -> None:
        """It is not quoted."""
        with pytest.raises(MisconfiguredError) as caught:
            PushToken(key, key_id="K", team_identifier=TEAM).get()
        assert "secret" not in str(caught.value)

    def test_an_rsa_key(self, apple: Authority) -> None:
        """Apple's push keys are elliptic."""
        with pytest.raises(MisconfiguredError, match=r"\.p8"):
            PushToken(apple.private_key_pem, key_id="K", team_identifier=TEAM).get()


class TestTokenGuard:
    def test_trips_with_the_eleventh_bad_one_of_the_first_fifty(self) -> None:
        """More than a fifth: we ask at the wrong place."""
        guard = TokenGuard()
        answers = [PushAnswer.ACCEPTED] * 39 + [PushAnswer.BAD_TOKEN] * 11
        assert [guard.note(answer) for answer in answers] == [False] * 49 + [True]

    def test_a_fifth_is_bearable(self) -> None:
        """Ten of fifty, and any number later on."""
        guard = TokenGuard()
        answers = [PushAnswer.BAD_TOKEN] * 10 + [PushAnswer.ACCEPTED] * 40
        assert not any(guard.note(answer) for answer in answers + [PushAnswer.BAD_TOKEN] * 100)
