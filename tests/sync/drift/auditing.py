"""Auditing, by the function and by the command."""

from __future__ import annotations

from io import StringIO
from typing import Any

from django.core.management import CommandError, call_command

from loyalty_wallet.models import WalletAudit
from loyalty_wallet.sync.drift import audit_wallets


def audit(**options: Any) -> WalletAudit:
    [row] = audit_wallets(**options)
    return row


def nonzero(row: WalletAudit) -> dict[str, int]:
    return {name: count for name, count in row.counts.items() if count}


def command(*arguments: str) -> tuple[int, str]:
    stdout = StringIO()
    try:
        call_command("wallet_audit", *arguments, stdout=stdout)
    except CommandError as error:
        return error.returncode, f"{stdout.getvalue()}{error}"
    return 0, stdout.getvalue()
