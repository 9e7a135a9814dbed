"""Phones that come and go at the same moment, on every database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
THREADS = 4
TIMES = 15

# One pass, a device that several requests register and unregister at once, and tags that several
# workers draw at once. What each request answered, and what is left, is printed.
CROWD = f"""
import django, json, time
django.setup()
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from django.core.management import call_command
from django.db import connections, transaction
from django.db.models import F
from loyalty_wallet.models import AppleDevice, ApplePassType, AppleRegistration, WalletPass
from loyalty_wallet.sync.transactions import in_transaction
from loyalty_wallet.sync.phones.publishing import draw_change_tag, ensure_counters
from loyalty_wallet.webservice import registrations

TYPE = "pass.com.example.race"
call_command("migrate", "loyalty_wallet", verbosity=0)
AppleDevice.objects.filter(pass_type_identifier=TYPE).delete()
ApplePassType.objects.filter(identifier=TYPE).delete()
WalletPass.objects.all().delete()
row = WalletPass.objects.create(card_key="race", wallet="apple", remote_id="race")
barrier = Barrier({THREADS})

def together(work):
    def run(number):
        try:
            barrier.wait()
            return [work(number, turn) for turn in range({TIMES})]
        finally:
            connections.close_all()
    with ThreadPoolExecutor({THREADS}) as pool:
        return [one for many in pool.map(run, range({THREADS})) for one in many]

def register(number, turn):
    return registrations.register("device", row, TYPE, f"{{number:08x}}").value

def come_and_go(number, turn):
    if number % 2:
        return registrations.register("device", row, TYPE, "aa" * 8).value
    registrations.unregister("device", row, TYPE)

def draw(number, turn):
    ensure_counters([TYPE], "default")
    with transaction.atomic():
        return draw_change_tag(TYPE, "default")

drawn = Event()

def draw_first():
    with transaction.atomic():
        tag = draw_change_tag(TYPE, "default")
        drawn.set()
        time.sleep(0.3)
        ended = time.monotonic()
    connections.close_all()
    return tag, ended

def draw_second():
    drawn.wait()
    with transaction.atomic():
        tag = draw_change_tag(TYPE, "default")
        begun = time.monotonic()
    connections.close_all()
    return tag, begun

registered = Counter(together(register))
left = [AppleDevice.objects.count(), AppleRegistration.objects.count()]
together(come_and_go)
registrations.unregister("device", row, TYPE)
gone = [AppleDevice.objects.count(), AppleRegistration.objects.count()]
row.refresh_from_db()
other = WalletPass.objects.create(card_key="race 2", wallet="apple", remote_id="race2")

def cross(pks):
    def work():
        for pk in pks:
            WalletPass.objects.filter(pk=pk).update(takeovers=F("takeovers") + 1)
            time.sleep(0.1)
    for _ in range(2):
        in_transaction(work)
    connections.close_all()

with ThreadPoolExecutor(2) as pool:
    list(pool.map(cross, [(row.pk, other.pk), (other.pk, row.pk)]))
crossed = list(WalletPass.objects.order_by("pk").values_list("takeovers", flat=True))
tags = together(draw)
with ThreadPoolExecutor(2) as pool:
    one, other = pool.submit(draw_first), pool.submit(draw_second)
    (first, ended), (second, begun) = one.result(), other.result()
in_order = [second - first, begun > ended]
print(json.dumps([registered, left, gone, row.presence, len(set(tags)), max(tags), in_order, crossed]))
WalletPass.objects.all().delete()
ApplePassType.objects.filter(identifier=TYPE).delete()
"""


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


def test_nothing_is_doubled_and_nothing_fails(database_url: str) -> None:
    """One device, one registration, first come first served; no tag is drawn twice.

    Nor is one drawn while the one before it may still be rolled back or hidden: what is listed
    under a tag holds everything below it. Transactions that wait for each other are begun again.
    """
    done = subprocess.run(
        [sys.executable, "-c", CROWD],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    registered, left, gone, presence, tags, highest, in_order, crossed = json.loads(done.stdout)
    assert registered == {"new": 1, "known": THREADS * TIMES - 1}
    assert left == [1, 1]
    assert gone == [0, 0]
    assert presence == "removed"
    assert tags == highest == THREADS * TIMES
    assert in_order == [1, True]
    assert crossed == [4, 4]
