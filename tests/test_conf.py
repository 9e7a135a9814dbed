"""LOYALTY_WALLET: documented defaults, and a refusal by name for everything that makes no sense."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from pytest_django import Settings

from loyalty_wallet.conf import DEFAULT_CARD_SOURCE, Conf, WalletConf, get_conf

BACKEND = "loyalty_wallet.wallets.google.GoogleWallet"


def test_defaults_are_the_documented_ones(settings: Settings) -> None:
    """Without a single key: 4 attempts with 1, 4 and 16 s, one hour, the runbook's three alerts."""
    settings.LOYALTY_WALLET = {}
    conf = get_conf()
    assert conf.retry_delays == (1, 4, 16)
    assert conf.window == timedelta(hours=1)
    assert conf.alert_failure_rate == 0.05
    assert conf.alert_duration_seconds == 30
    assert conf.alert_failed_cards == 10
    assert conf.set_aside_after == 24
    assert conf.recreate_missing is True
    assert conf.card_source == DEFAULT_CARD_SOURCE
    assert conf.wallets == {}


def test_setting_may_be_missing(settings: Settings) -> None:
    """A project that has not heard of LOYALTY_WALLET yet gets the defaults."""
    del settings.LOYALTY_WALLET
    assert get_conf() == Conf()


@pytest.mark.parametrize(
    ("key", "value", "name", "expected"),
    [
        ("RETRY_DELAYS", [], "retry_delays", ()),
        ("RETRY_DELAYS", [0.5, 2], "retry_delays", (0.5, 2)),
        ("WINDOW", timedelta(days=2), "window", timedelta(days=2)),
        ("BATCH_SIZE", 1, "batch_size", 1),
        ("BATCH_SIZE", 5000, "batch_size", 5000),
        ("LEASE_SECONDS", 30, "lease_seconds", 30),
        ("CLAIM_STRATEGY", "cas", "claim_strategy", "cas"),
        ("MAX_RUN_SECONDS", 0.5, "max_run_seconds", 0.5),
        ("RECREATE_MISSING", False, "recreate_missing", False),
        ("SET_ASIDE_AFTER", 1, "set_aside_after", 1),
        ("ALERT_FAILURE_RATE", 0, "alert_failure_rate", 0),
        ("ALERT_FAILURE_RATE", 1, "alert_failure_rate", 1),
        ("ALERT_DURATION_SECONDS", 0, "alert_duration_seconds", 0),
        ("ALERT_FAILED_CARDS", 0, "alert_failed_cards", 0),
        ("ALERT_OLDEST_DUE_SECONDS", 60, "alert_oldest_due_seconds", 60),
        ("ALERT_MAIL", True, "alert_mail", True),
        ("ALERT_HANDLERS", ["shop.pager.page"], "alert_handlers", ("shop.pager.page",)),
        ("RUN_INTERVAL", timedelta(days=1), "run_interval", timedelta(days=1)),
        ("CARD_SOURCE", "shop.sources.Members", "card_source", "shop.sources.Members"),
    ],
)
def test_value_is_taken(key: str, value: Any, name: str, expected: Any) -> None:
    """Every key is a field, up to the very ends of what makes sense."""
    assert getattr(Conf.from_setting({key: value}), name) == expected


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("RETRY_DELAYS", [1, -1]),
        ("RETRY_DELAYS", ["1"]),
        ("RETRY_DELAYS", "14"),
        ("RETRY_DELAYS", [True]),
        ("WINDOW", timedelta(0)),
        ("WINDOW", timedelta(hours=-1)),
        ("WINDOW", 3600),
        ("BATCH_SIZE", 0),
        ("BATCH_SIZE", 5001),
        ("BATCH_SIZE", 2.5),
        ("LEASE_SECONDS", 29),
        ("LEASE_SECONDS", "120"),
        ("CLAIM_STRATEGY", "lock"),
        ("MAX_RUN_SECONDS", 0),
        ("MAX_RUN_SECONDS", None),
        ("RECREATE_MISSING", "no"),
        ("SET_ASIDE_AFTER", 0),
        ("ALERT_FAILURE_RATE", 5),
        ("ALERT_FAILURE_RATE", -0.1),
        ("ALERT_FAILURE_RATE", float("nan")),
        ("ALERT_DURATION_SECONDS", -1),
        ("ALERT_FAILED_CARDS", -1),
        ("ALERT_FAILED_CARDS", 0.5),
        ("ALERT_OLDEST_DUE_SECONDS", 0),
        ("ALERT_MAIL", "yes"),
        ("ALERT_HANDLERS", "shop.pager.page"),
        ("ALERT_HANDLERS", ["page"]),
        ("ALERT_HANDLERS", [print]),
        ("RUN_INTERVAL", timedelta(0)),
        ("RUN_INTERVAL", 3600),
        ("CARD_SOURCE", "Members"),
        ("CARD_SOURCE", None),
    ],
)
def test_senseless_value_is_refused_by_name(key: str, value: Any) -> None:
    """A value that makes no sense is an error that names its key."""
    with pytest.raises(ImproperlyConfigured, match=rf"^LOYALTY_WALLET\['{key}'\] must be "):
        Conf.from_setting({key: value})


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"WALLET": {}}, "LOYALTY_WALLET has no key 'WALLET'. Did you mean 'WALLETS'?"),
        ({"RETRY_DELAY": []}, "LOYALTY_WALLET has no key 'RETRY_DELAY'. Did you mean"),
        ({"window": 1}, "LOYALTY_WALLET has no key 'window'. Known: WALLETS, CARD_SOURCE,"),
        ({1: 2}, "LOYALTY_WALLET has no key 1. Known: WALLETS,"),
        (["WALLETS"], "LOYALTY_WALLET must be a dict."),
        ({"WALLETS": []}, r"LOYALTY_WALLET['WALLETS'] must be a dict of aliases."),
        ({"WALLETS": {"": {"BACKEND": BACKEND}}}, "an alias is a string of 1 to 64 characters"),
        ({"WALLETS": {"g" * 65: {"BACKEND": BACKEND}}}, "an alias is a string of 1 to 64"),
        ({"WALLETS": {7: {"BACKEND": BACKEND}}}, "LOYALTY_WALLET['WALLETS'][7]: an alias is"),
        ({"WALLETS": {"google": BACKEND}}, "['google'] must be a dict with BACKEND and OPTIONS."),
        ({"WALLETS": {"google": {}}}, "['google'] needs 'BACKEND', the dotted path of a wallet."),
        ({"WALLETS": {"google": {"BACKEND": int}}}, "['google'] needs 'BACKEND'"),
        (
            {"WALLETS": {"google": {"BACKEND": BACKEND, "OPTION": {}}}},
            "LOYALTY_WALLET['WALLETS']['google'] has no key 'OPTION'. Did you mean 'OPTIONS'?",
        ),
        (
            {"WALLETS": {"google": {"BACKEND": BACKEND, "OPTIONS": []}}},
            "LOYALTY_WALLET['WALLETS']['google']['OPTIONS'] must be a dict.",
        ),
    ],
)
def test_misspelling_is_refused_with_a_hint(setting: Any, message: str) -> None:
    """An unknown key is refused by name, with the nearest spelling where there is one."""
    with pytest.raises(ImproperlyConfigured) as refusal:
        Conf.from_setting(setting)
    assert message in str(refusal.value)


def test_override_settings_is_honoured() -> None:
    """A changed setting holds at once, and the old one again afterwards."""
    before = get_conf()
    with override_settings(LOYALTY_WALLET={"ALERT_FAILED_CARDS": 3}):
        assert get_conf().alert_failed_cards == 3
        with override_settings(LOYALTY_WALLET={"ALERT_FAILED_CARDS": 4}):
            assert get_conf().alert_failed_cards == 4
        assert get_conf().alert_failed_cards == 3
    assert get_conf() == before


def test_other_settings_do_not_build_it_anew(settings: Settings) -> None:
    """The configuration is built once per LOYALTY_WALLET, not for each reader."""
    conf = get_conf()
    settings.TIME_ZONE = "Europe/Berlin"
    assert get_conf() is conf


def test_secrets_are_in_no_repr() -> None:
    """Whoever prints the configuration sees which wallets there are, and none of their keys."""
    options: Mapping[str, Any] = {"credentials": '{"private_key": "s3cr3t"}'}
    conf = Conf.from_setting({"WALLETS": {"google": {"BACKEND": BACKEND, "OPTIONS": options}}})
    assert conf.wallets["google"] == WalletConf(backend=BACKEND, options=options)
    assert "s3cr3t" not in repr(conf)
    assert "s3cr3t" not in repr(conf.wallets)
    assert BACKEND in repr(conf)


def test_options_are_a_copy() -> None:
    """Nobody's later change to the settings dict reaches a wallet half-way."""
    options: dict[str, Any] = {"issuer_id": "1"}
    conf = Conf.from_setting({"WALLETS": {"google": {"BACKEND": BACKEND, "OPTIONS": options}}})
    options["issuer_id"] = "2"
    assert conf.wallets["google"].options["issuer_id"] == "1"
