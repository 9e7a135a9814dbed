"""What all wallets share: fingerprints, limits, and who counts as this machine."""

from __future__ import annotations

import subprocess
import sys

import pytest

from loyalty_wallet.wallets.base import canonical_json, fingerprint, is_loopback
from loyalty_wallet.wallets.google import GoogleWallet

PAYLOAD = {"id": "1.a", "points": {"label": "Kaffee ü", "balance": {"int": 5}}, "end": None}


def test_fingerprint_knows_no_order() -> None:
    """The same content has one fingerprint, in whatever order it was written."""
    turned = {"end": None, "points": {"balance": {"int": 5}, "label": "Kaffee ü"}, "id": "1.a"}
    assert fingerprint(canonical_json(turned)) == fingerprint(canonical_json(PAYLOAD))
    assert len(fingerprint(canonical_json(PAYLOAD))) == 64


@pytest.mark.parametrize(
    "other",
    [
        {**PAYLOAD, "id": "1.b"},
        {**PAYLOAD, "end": ""},
        {**PAYLOAD, "more": None},
        {**PAYLOAD, "points": {"label": "Kaffee u", "balance": {"int": 5}}},
        {**PAYLOAD, "points": {"label": "Kaffee ü", "balance": {"string": "5"}}},
        {**PAYLOAD, "points": {"label": "Kaffee ü", "balance": {"int": "5"}}},
        {name: value for name, value in PAYLOAD.items() if name != "end"},
        {**PAYLOAD, "list": [1, 2]},
    ],
)
def test_fingerprint_knows_every_difference(other: dict[str, object]) -> None:
    """Whatever differs, however little, has another fingerprint."""
    assert fingerprint(canonical_json(other)) != fingerprint(canonical_json(PAYLOAD))


def test_fingerprint_minds_the_order_of_lists() -> None:
    """The order of text modules is what the customer sees."""
    assert fingerprint(canonical_json({"list": [1, 2]})) != fingerprint(
        canonical_json({"list": [2, 1]})
    )


@pytest.mark.parametrize("seed", ["0", "1"])
def test_fingerprint_is_the_same_in_every_process(seed: str) -> None:
    """What one worker wrote down, the next one recognises."""
    script = f"from loyalty_wallet.wallets.base import canonical_json, fingerprint\nprint(fingerprint(canonical_json({PAYLOAD!a})))"
    environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path))}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.strip() == fingerprint(canonical_json(PAYLOAD))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("wallet.example", False),
        ("127.0.0.1.example", False),
        ("localhost.example", False),
        ("0.0.0.0", False),  # noqa: S104 - not bound to
        ("", False),
        (None, False),
    ],
)
def test_only_this_machine_is_loopback(host: str | None, expected: bool) -> None:
    """Plain http is for this machine; no name that merely looks like it will do."""
    assert is_loopback(host) is expected


def wallet() -> GoogleWallet:
    return GoogleWallet("google", issuer_id="3388", credentials="key.json")


def test_google_ids_belong_to_the_issuer() -> None:
    """Objects and classes are named after the issuer, a dot, and what is ours."""
    assert wallet().remote_id("abc") == "3388.abc"
    assert wallet().program_id("coffee-club") == "3388.coffee-club"


@pytest.mark.parametrize("key", ["Café ☕", "a b", "a/b", "x" * 101, "ü" * 191])
def test_any_program_key_has_a_class_id(key: str) -> None:
    """A key that Google would not take is hashed: stable, short, different for each key."""
    class_id = wallet().program_id(key)
    assert class_id == wallet().program_id(key)
    assert class_id.startswith("3388.")
    assert class_id.removeprefix("3388.").isalnum()
    assert len(class_id) <= 64
    assert class_id != wallet().program_id(key + "x")


def test_reports_count_requests() -> None:
    """A Google wallet reports what it created, updated and cost."""
    assert {"created", "updated", "unchanged", "failed", "deferred", "attempts", "requests"} == set(
        GoogleWallet.count_names
    )
