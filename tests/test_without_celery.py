"""A project without Celery, Redis and beat: the app works, and says what is missing when asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from loyalty_wallet.emulator import GoogleEmulator

ROOT = Path(__file__).parent.parent
SCRIPT = """
import django
django.setup()
from django.core.management import call_command
from loyalty_wallet.models import LoyaltyProgram
from loyalty_wallet.sync import touch
call_command("migrate", verbosity=0)
call_command("check")
program = LoyaltyProgram.objects.create(name="Club", slug="club", issuer_name="Café")
card = program.cards.create(card_number="1")
card.record("earn", points=5)
"""


def test_everything_but_the_queue_works(tmp_path: Path) -> None:
    """Case 68: changes are due, the command delivers them, `--enqueue` names what to install."""
    with GoogleEmulator(requests_per_second=None) as google:
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.bare_settings",
            "BARE_DATABASE": str(tmp_path / "bare.sqlite3"),
            "BARE_WALLET": json.dumps(google.wallet_options),
        }

        def python(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )

        done = python("-c", SCRIPT)
        assert done.returncode == 0, done.stderr
        assert google.requests == []
        command = ("-m", "django", "sync_wallet_passes", "--json")
        enqueued = python(*command, "--enqueue")
        assert (enqueued.returncode, enqueued.stdout) == (3, "")
        assert "REDIS_URL" in enqueued.stderr
        done = python(*command)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["cards"]["synced"] == 1
        (shown,) = google.objects.values()
        assert shown["loyaltyPoints"]["balance"]["int"] == 5
        scheduled = python("-m", "django", "install_wallet_schedule")
        assert scheduled.returncode == 3
        assert "django_celery_beat" in scheduled.stderr


def test_what_is_hidden_is_really_missing() -> None:
    """The project of this test has none of them, though this machine does."""
    code = (
        "import tests.bare_settings as bare; from importlib.util import find_spec;"
        "print(sorted(name for name in bare.MISSING if find_spec(name)))"
    )
    environment = {**os.environ, "BARE_DATABASE": "", "BARE_WALLET": "{}"}
    command = [sys.executable, "-c", code]
    assert subprocess.check_output(command, cwd=ROOT, env=environment, text=True) == "[]\n"
