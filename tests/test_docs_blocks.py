"""Each Python, template and shell block of README.md and docs/ runs, or says why it cannot."""

from __future__ import annotations

import gc
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from django.core.management import CommandError, load_command_class
from django.dispatch import Signal
from django.template import Context, Template

from loyalty_wallet import signals
from loyalty_wallet.conf import Conf
from loyalty_wallet.emulator import GoogleEmulator
from loyalty_wallet.models import LoyaltyCard, LoyaltyProgram
from loyalty_wallet.registry import build_wallet
from project.celery import app
from tests.shop.models import Member
from tests.shopfront import configure, google, program
from tests.test_docs import COMMANDS, PAGES

__all__ = ["configure", "google", "program"]

ROOT = Path(__file__).resolve().parent.parent
# Their blocks are files of example projects, which tests/test_docs_examples.py runs.
EXAMPLES = {
    f"docs/how-to/{name}.md"
    for name in ("add-a-wallet", "own-card-model", "test-with-the-emulator", "test-your-project")
}
PORT = "8787"
SERVER = "python manage.py wallet_emulator"


class Block(NamedTuple):
    """A fenced block; `reason` is why it is not run, as the comment above it says."""

    page: str
    line: int
    language: str
    text: str
    reason: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def read_blocks() -> Iterator[Block]:
    fence = re.compile(
        r"(?:^ *<!-- not run: (.+?) -->\n)?^( *)```(\w*)[^\n]*\n(.*?)^\2```$",
        re.MULTILINE | re.DOTALL,
    )
    for page, text in PAGES.items():
        for match in fence.finditer(text):
            reason, indent, language, block = match.groups()
            line = text[: match.start(3)].count("\n") + 1
            lines = [row.removeprefix(indent) for row in block.splitlines(keepends=True)]
            yield Block(page, line, language, "".join(lines), reason or "")


BLOCKS = list(read_blocks())


def blocks_of(language: str) -> dict[str, list[Block]]:
    """Return the blocks in a language that run, by page."""
    found: dict[str, list[Block]] = {}
    for block in BLOCKS:
        if block.language == language and not block.reason:
            found.setdefault(block.page, []).append(block)
    return found


PYTHON = {page: found for page, found in blocks_of("python").items() if page not in EXAMPLES}
SHELL = blocks_of("sh")


@pytest.fixture
def at_hand(program: LoyaltyProgram, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What each page may take for granted: a card, a Google, and somebody's own `members` app."""
    members = types.ModuleType("members.models")
    members.__dict__["Member"] = Member
    monkeypatch.setitem(sys.modules, "members", types.ModuleType("members"))
    monkeypatch.setitem(sys.modules, "members.models", members)
    all_signals = [value for value in vars(signals).values() if isinstance(value, Signal)]
    before = [list(signal.receivers) for signal in all_signals]
    card = LoyaltyCard.objects.create(program=program, card_number="1", holder_name="Ada Adler")
    namespace = {"card": card, "__name__": "docs"}
    yield namespace
    # What a page has connected or set up must not meet another test.
    app.set_current()
    for signal, receivers in zip(all_signals, before, strict=True):
        signal.receivers = receivers
        signal.sender_receivers_cache.clear()
    namespace.clear()
    gc.collect()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("page", PYTHON)
def test_python_runs(page: str, at_hand: dict[str, Any], google: GoogleEmulator) -> None:
    """The blocks of a page run one after the other; settings among them make sense."""
    for block in PYTHON[page]:
        exec(compile(block.text, block.place, "exec"), at_hand)  # noqa: S102
        settings = at_hand.pop("LOYALTY_WALLET", {})
        for alias, wallet in Conf.from_setting(settings).wallets.items():
            assert build_wallet(alias, wallet).alias == alias


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("page", blocks_of("django"))
def test_templates_render(page: str, at_hand: dict[str, Any]) -> None:
    """Each template block renders with a card and, as our own includes do, a `url`."""
    context = Context({"card": at_hand["card"], "url": "https://shop.example/"})
    for block in blocks_of("django")[page]:
        assert Template(block.text).render(context).strip(), block.place


def test_data_can_be_read() -> None:
    """JSON is JSON, and YAML is YAML."""
    for block in BLOCKS:
        if block.language in {"json", "yaml"}:
            read = json.loads if block.language == "json" else yaml.safe_load
            assert read(block.text), block.place


def test_few_blocks_are_not_run() -> None:
    """What cannot run here says why, and is the exception."""
    left_out = [block.place for block in BLOCKS if block.reason]
    assert len(left_out) <= len([block for block in BLOCKS if block.language]) / 4, left_out


def commands_in(block: Block) -> Iterator[list[str]]:
    """Yield the `manage.py` calls of a shell block, split into words."""
    joined = block.text.replace("\\\n", " ")
    for call in re.findall(r"manage\.py ((?:'[^']*'|[^'\n&|])*)", joined):
        yield shlex.split(call, comments=True)


def test_shell_is_sound() -> None:
    """Each block is bash, run or not, and each of our commands takes the options that it gives."""
    shell = [block for block in BLOCKS if block.language == "sh"]
    if bash := shutil.which("bash"):
        script = "".join(block.text for block in shell)
        subprocess.run([bash, "-n"], input=script, text=True, check=True)
    calls = [(block.place, call) for block in shell for call in commands_in(block)]
    ours = [(place, call) for place, call in calls if call[0] in COMMANDS]
    assert ours
    for place, (name, *arguments) in ours:
        parser = load_command_class(COMMANDS[name], name).create_parser("manage.py", name)
        try:
            parser.parse_args(arguments)
        except (CommandError, SystemExit) as error:
            pytest.fail(f"{place}: {name}: {error}")


@pytest.mark.chaos
@pytest.mark.parametrize("page", SHELL)
def test_shell_runs(page: str, tmp_path: Path) -> None:
    """The blocks of a page run in one shell, in a checkout of its own, and none of them fails.

    An emulator that a page starts in a second terminal runs beside it, on a port of its own.
    """
    if shutil.which("bash") is None:
        pytest.skip("There is no bash.")
    for name in ("loyalty_wallet", "manage.py", "project", "requirements.txt"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").touch()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    script = "\n".join(block.text for block in SHELL[page]).replace(PORT, port)
    env = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(tmp_path),
        "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
        "DJANGO_SUPERUSER_PASSWORD": "not a secret",
    }
    emulator = None
    if SERVER in script:
        script = script.replace(f"{SERVER}\n", "")
        command = [sys.executable, "manage.py", "wallet_emulator", "--port", port]
        emulator = subprocess.Popen(command, cwd=tmp_path, env=env)
        wait_for(port)
    try:
        done = subprocess.run(
            ["bash", "-euo", "pipefail"],
            input=f"python manage.py migrate --verbosity 0\n{script}",
            cwd=tmp_path,
            env=env,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    finally:
        if emulator is not None:
            emulator.terminate()
            emulator.wait(timeout=30)
    assert done.returncode == 0, done.stdout


def wait_for(port: str) -> None:
    """Return as soon as somebody listens on that port of this machine."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", int(port)), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("The emulator has not started.")
