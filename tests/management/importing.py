"""Importing passes of another system, and what is written by it."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from loyalty_wallet.models import AppleDevice, AppleRegistration, WalletPass

TOKEN = "vxwxd7J8AlNNFPS8k0a0FfUFtq0ewzFd"
PUSH_TOKEN = "9f3c" * 16
COLUMNS = ("card", "wallet", "remote_id", "token", "device", "push_token")
Run = Callable[..., str]


def run_command(*options: str) -> str:
    said = StringIO()
    call_command("import_wallet_passes", *options, stdout=said)
    return said.getvalue()


def refused(*options: str) -> CommandError:
    with pytest.raises(CommandError) as caught:
        run_command(*options)
    return caught.value


def state() -> list[tuple[object, ...]]:
    """Return everything that an import may write."""
    fields = ("card_key", "wallet", "remote_id", "authentication_token", "due_at", "presence")
    return [
        *WalletPass.objects.order_by("pk").values_list("pk", *fields, "desired_revision"),
        *AppleDevice.objects.order_by("pk").values_list("pk", "push_token"),
        *AppleRegistration.objects.order_by("pk").values_list("pk", "device", "wallet_pass"),
    ]
