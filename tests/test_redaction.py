"""Whatever a provider echoes back, nobody reads a secret or an address in it."""

from __future__ import annotations

import json
import time

import pytest

from loyalty_wallet.redaction import MASK, redact

SECRET = "s3cr3t-V4lue_0123456789"
PEM = f"-----BEGIN PRIVATE KEY-----\n{SECRET}\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----"
JWT = f"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.{SECRET}"


@pytest.mark.parametrize(
    "text",
    [
        PEM,
        PEM.replace("\n", "\\n"),
        PEM.replace("PRIVATE", "RSA PRIVATE"),
        PEM.partition("-----END")[0],
        f"POST {PEM} and {PEM} again",
        JWT,
        f"assertion {JWT} was refused",
        f"https://pay.google.com/gp/v/save/{JWT}",
        f"ya29.{SECRET}",
        f"token 'ya29.a0Af-{SECRET}' expired",
        f"Authorization: Bearer {SECRET}",
        f"authorization: bearer  {SECRET}",
        f"Authorization: ApplePass {SECRET}",
        f"{SECRET}@shop.example",
        f"<{SECRET}@wallet.iam.gserviceaccount.com>",
        f"ada+{SECRET}@mail.shop.example.",
        json.dumps({"access_token": SECRET}),
        json.dumps({"private_key": SECRET}, indent=2),
        str({"private_key": SECRET}),
        str({"client_secret": SECRET, "other": 1}),
        str(json.dumps({"assertion": SECRET}).encode()),
        json.dumps({"authenticationToken": SECRET}, separators=(",", ":")),
        f"pushToken={SECRET}&device=1",
        f"grant_type=jwt&assertion={SECRET}",
        f"access_token = {SECRET}",
        f'ACCESS_TOKEN: "{SECRET}"',
    ],
)
def test_secret_is_cut_out(text: str) -> None:
    """Keys, tokens and addresses are masked in every dress they come in."""
    assert SECRET not in redact(text)
    assert MASK in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The whole answer did not arrive in time.",
        "Invalid resource ID: '3388000000000000001.card-1'.",
        "hexBackgroundColor: must be #rgb or #rrggbb.",
        "Kaffee für 5 €, 100 % Arabica",
        "the bearer",
    ],
)
def test_plain_words_stay(text: str) -> None:
    """A message without secrets is not touched."""
    assert redact(text) == text


def test_what_surrounds_a_secret_stays() -> None:
    """Only the secret goes, so that the message still says what happened."""
    text = redact(f"Invalid token ya29.{SECRET} for ada@shop.example (status 401)")
    assert text == f"Invalid token {MASK} for {MASK} (status 401)"


@pytest.mark.parametrize(("length", "expected"), [(499, 499), (500, 500), (501, 500), (9000, 500)])
def test_long_text_is_cut(length: int, expected: int) -> None:
    """A text is at most 500 characters long, and one that was cut ends in an ellipsis."""
    text = redact("a " * (length // 2) + "a" * (length % 2))
    assert len(text) == expected
    assert text.endswith("…") is (length > 500)


@pytest.mark.parametrize("break_", ["\n", "\r\n", "\x0b", "\x00", "\x1b", "\x85", "\u2028"])
def test_text_stays_one_line(break_: str) -> None:
    """What a provider or a phone says cannot pass for a line of our own log, nor steer a terminal."""
    text = redact(f"Invalid name: Ada{break_}2026-01-01 ERROR root: all cards are gone")
    assert text == "Invalid name: Ada 2026-01-01 ERROR root: all cards are gone"


def test_secret_across_the_cut_is_masked() -> None:
    """The text is redacted before it is cut: half a key is not shown either."""
    text = redact("x" * 480 + " " + PEM)
    assert "BEGIN" not in text
    assert SECRET[:4] not in text


@pytest.mark.parametrize(
    "text", ["a@" * 50_000, "a" * 100_000, "a." * 50_000, "-----BEGIN " * 9000, "eyJ" * 30_000]
)
def test_hostile_text_takes_no_time(text: str) -> None:
    """No answer of a provider's can keep the worker busy with its redaction."""
    started = time.monotonic()
    redact(text)
    assert time.monotonic() - started < 2
