"""Two real processes at one card, on every database: nothing is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

ROOT = Path(__file__).resolve().parents[2]
TIMES = 20

# The first till opens the shop, and counts when both have closed. Both wait for a word before they
# record, so that they do it at the same time.
TILL = f"""
import django, json, sys
django.setup()
from django.core.management import call_command
from django.db.models import Sum
from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram, WalletPass
from loyalty_wallet.sync import issue

if len(sys.argv) > 1:
    card = LoyaltyCard.objects.get(pk=sys.argv[1])
else:
    call_command("migrate", "loyalty_wallet", verbosity=0)
    program = LoyaltyProgram.objects.create(
        name="Race", slug="race", issuer_name="Corner Shop", auto_issue=False
    )
    card = LoyaltyCard.objects.create(program=program, card_number="C1")
print(card.key, flush=True)
sys.stdin.readline()
for number in range({TIMES}):
    issue([card.key])
    card.record("earn", points=3, stamps=1, reference=str(number))
print("closed", flush=True)
if sys.stdin.readline():
    card.refresh_from_db()
    moved = card.transactions.aggregate(points=Sum("points"), stamps=Sum("stamps"))
    wallet_pass = WalletPass.objects.get(card_key=card.key)
    print(json.dumps({{
        "balance": [card.points_balance, card.stamps],
        "moved": [moved["points"], moved["stamps"]],
        "is_due": wallet_pass.is_due,
        "revision": wallet_pass.desired_revision,
    }}))
    wallet_pass.delete()
    card.delete()
    program.delete()
"""


class Till:
    """A process that records on the card when it is told to."""

    def __init__(self, *arguments: str, database_url: str) -> None:
        environment = {
            **os.environ,
            "DATABASE_URL": database_url,
            "GOOGLE_WALLET_ISSUER_ID": "3388000000000000001",
            "GOOGLE_WALLET_CREDENTIALS": "none.json",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", TILL, *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, word: str) -> None:
        self._pipe(self.process.stdin).write(f"{word}\n")
        self._pipe(self.process.stdin).flush()

    def hear(self) -> str:
        return self._pipe(self.process.stdout).readline().strip()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgres", marks=pytest.mark.database),
        pytest.param("mariadb", marks=pytest.mark.database),
    ]
)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'race.sqlite3'}"
    url: str = request.getfixturevalue(f"{request.param}_server").url
    return url


def test_two_processes_lose_nothing(database_url: str) -> None:
    """Balance, history and revision are all there, and there is one pass."""
    tills = [Till(database_url=database_url)]
    try:
        key = tills[0].hear()
        tills.append(Till(key, database_url=database_url))
        assert tills[1].hear() == key
        for till in tills:
            till.tell("go")
        assert [till.hear() for till in tills] == ["closed", "closed"]
        tills[0].tell("count")
        counted = json.loads(tills[0].hear())
    finally:
        for till in tills:
            till.close()
    assert counted == {
        "balance": [6 * TIMES, 2 * TIMES],
        "moved": [6 * TIMES, 2 * TIMES],
        "is_due": True,
        "revision": 1 + 2 * TIMES,
    }
