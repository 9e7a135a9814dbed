from __future__ import annotations

import pytest

from loyalty_wallet.emulator.apple import Authority

PASS_TYPE = "pass.com.example.loyalty"
TEAM = "ABCDE12345"


@pytest.fixture(scope="session")
def apple() -> Authority:
    """A throw-away Apple with a certificate for one pass type."""
    return Authority(pass_type_identifier=PASS_TYPE, team_identifier=TEAM)
