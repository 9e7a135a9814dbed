"""README.md and docs/ name all that there is, and nothing that there is not."""

from __future__ import annotations

import ast
import importlib
import json
import re
from dataclasses import fields
from functools import cache
from pathlib import Path
from pkgutil import resolve_name

import jsonschema
import pytest
from django.apps import apps
from django.core.management import get_commands, load_command_class
from django.dispatch import Signal

from loyalty_wallet import checks, signals, tasks
from loyalty_wallet.conf import Conf
from loyalty_wallet.exceptions import failure_classes
from loyalty_wallet.monitoring import problems
from loyalty_wallet.monitoring.as_json import status_as_dict
from loyalty_wallet.monitoring.status import read_status
from loyalty_wallet.queueing import DRAIN_RUN, SYNC_CARD
from loyalty_wallet.registry import _options_of
from loyalty_wallet.sync.alarms.notices import REMEDIES
from loyalty_wallet.sync.report import report_schema
from loyalty_wallet.wallets.apple import AppleWallet
from loyalty_wallet.wallets.google import GoogleWallet
from project import settings as project_settings

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
}
EVERYTHING = "\n".join(PAGES.values())
COMMANDS = {
    "demo": "project",
    "erase_wallet_card": "loyalty_wallet",
    "import_wallet_passes": "loyalty_wallet",
    "install_wallet_schedule": "loyalty_wallet",
    "prune_sync_runs": "loyalty_wallet",
    "sync_wallet_passes": "loyalty_wallet",
    "wallet_audit": "loyalty_wallet",
    "wallet_doctor": "loyalty_wallet",
    "wallet_emulator": "loyalty_wallet",
    "wallet_status": "loyalty_wallet",
}
# Those that every command of Django's has.
DJANGOS_OPTIONS = {
    "--force-color",
    "--help",
    "--no-color",
    "--pythonpath",
    "--settings",
    "--skip-checks",
    "--traceback",
    "--verbosity",
    "--version",
    "-h",
    "-v",
}
# Options of other programs that the page mentions.
FOREIGN_OPTIONS = {
    "--command",
    "--concurrency",
    "--deploy",
    "--no-location",
    "--no-obsolete",
    "--no-wrap",
    "--scheduler",
}.union(
    *(
        re.findall(r'"(--[a-z][a-z-]+)"', path.read_text(encoding="utf-8"))
        for path in (ROOT / "tests" / "benchmarks").glob("*.py")
    )
)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", EVERYTHING, re.MULTILINE | re.DOTALL)


def table(*header: str) -> list[list[str]]:
    """Return the cells of the one table with this header."""
    [body] = re.findall(
        rf"^\| {re.escape(' | '.join(header))} \|\n\|[-|]+\|\n((?:\|.*\n)+)",
        EVERYTHING,
        re.MULTILINE,
    )
    rows = [line.strip().strip("|") for line in body.strip().splitlines()]
    return [[cell.strip() for cell in row.split(" | ")] for row in rows]


def first_column(*header: str) -> set[str]:
    """Return what stands in back quotes in the first cells, several to a cell if need be."""
    return {name for row in table(*header) for name in re.findall(r"`([^`]+)`", row[0])}


@cache
def functions_of(path: str) -> set[str]:
    """Return the names of the functions in a file, empty if there is none."""
    file = ROOT / path
    tree = ast.parse(file.read_text(encoding="utf-8") if file.exists() else "")
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def command_options(name: str) -> set[str]:
    parser = load_command_class(COMMANDS[name], name).create_parser("manage.py", name)
    return set(parser._option_string_actions) - DJANGOS_OPTIONS


def test_settings_are_those_that_exist() -> None:
    """Each key of LOYALTY_WALLET has a row, and each row is a key."""
    assert first_column("Key", "Default", "Meaning") == {item.name.upper() for item in fields(Conf)}


def test_options_of_the_google_wallet_are_those_that_exist() -> None:
    """Each keyword of the wallet's constructor has a row that says whether it is required."""
    required, optional = _options_of(GoogleWallet)
    rows = {row[0].strip("`"): row[1] for row in table("Option", "Default", "Meaning")}
    assert set(rows) == {*required, *optional}
    assert {name for name, default in rows.items() if default == "required"} == set(required)


def test_options_of_the_apple_wallet_are_those_that_exist() -> None:
    """Each keyword of the wallet's constructor is in a row that says whether it is required."""
    required, optional = _options_of(AppleWallet)
    rows = {
        name: row[1]
        for row in table("Apple's option", "Default", "Meaning")
        for name in re.findall(r"`(\w+)`", row[0])
    }
    assert set(rows) == {*required, *optional}
    assert {name for name, default in rows.items() if default == "required"} == set(required)


def test_failure_codes_are_those_that_exist() -> None:
    """Each code has a row, in the order of the list, that says whether it is tried again."""
    rows = table("Code", "Tried again at once", "Cause", "What to do")
    failures = failure_classes()
    assert [row[0] for row in rows] == [f"[`{code}`](#{code})" for code in failures]
    for again, (code, failure) in zip([row[1] for row in rows], failures.items(), strict=True):
        if code != "deferred":
            assert again.startswith("yes") is failure.is_retryable, code
        assert ("stops the wallet" in again) is failure.stops_wallet, code


def test_each_failure_code_has_a_section() -> None:
    """Whoever has a code at hand can link to what is said about it."""
    sections = re.findall(r"^### `(\w+)`$", PAGES["docs/reference/errors.md"], re.MULTILINE)
    assert sorted(sections) == sorted(failure_classes())


def test_problems_are_those_that_exist() -> None:
    """Each code that a monitor may read has a row."""
    source = Path(problems.__file__).read_text(encoding="utf-8")
    codes = set(re.findall(r'code="(\w+)"', source)) | set(REMEDIES)
    assert first_column("Problem", "Level", "It means") == codes


@pytest.mark.django_db
def test_fields_of_the_status_are_those_that_exist() -> None:
    """Each field that a monitor gets has a place in the table."""
    assert first_column("In the answer", "It says") == set(status_as_dict(read_status()))


def test_alarms_are_those_that_exist() -> None:
    """Each alarm has a row."""
    assert first_column("Alarm", "Raised when", "Measured") == set(REMEDIES)


def test_signals_are_those_that_exist() -> None:
    """Each signal has a row in one of the two tables."""
    page = PAGES["docs/reference/signals.md"]
    named = {name for name, value in vars(signals).items() if isinstance(value, Signal)}
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == named


def test_permissions_are_those_that_exist() -> None:
    """Each permission that is none of Django's own four has a row."""
    own = {
        f"loyalty_wallet.{codename}"
        for model in apps.get_app_config("loyalty_wallet").get_models()
        for codename, _ in model._meta.permissions
    }
    assert first_column("Permission", "Allows") == own


def test_tasks_are_those_that_exist() -> None:
    """Each Celery task has a row."""
    source = Path(tasks.__file__).read_text(encoding="utf-8")
    names = {*re.findall(r'name="([\w.]+)"', source), DRAIN_RUN, SYNC_CARD}
    assert first_column("Task", "For", "What it does") == names


@pytest.mark.parametrize("name", sorted(first_column("Name", "What it does")))
def test_public_name_can_be_imported(name: str) -> None:
    """What the page promises to keep is there."""
    assert resolve_name(name) is not None


@pytest.mark.parametrize("page", ["docs/promises.md", "docs/security/threat-model.md"])
def test_each_promise_names_a_test_that_exists(page: str) -> None:
    """The runbook's promises are proved by tests that are there, and each has one at least.

    So is what stands against each threat.
    """
    rows = [
        row for row in PAGES[page].splitlines() if row.startswith("| ") and "Proof |" not in row
    ]
    named = [re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row) for row in rows]
    assert [row for row, tests in zip(rows, named, strict=True) if not tests] == []
    missing = {
        f"{path}::{name}"
        for path, name in {test for tests in named for test in tests}
        if name not in functions_of(path)
    }
    assert missing == set()


def test_links_of_the_readme_lead_somewhere() -> None:
    """Sphinx checks the links of the pages; the README is none of them."""
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", PAGES["README.md"])
    inside = [link for link in links if not link.startswith("https://")]
    assert inside
    assert [link for link in inside if not (ROOT / link).exists()] == []


def test_pages_are_built_with_the_versions_of_the_project() -> None:
    """What docs/requirements.txt has in common with requirements.txt is the same."""
    versions = [
        dict(re.findall(r"^([\w.-]+)==(\S+)", path.read_text().lower(), re.MULTILINE))
        for path in (ROOT / "docs/requirements.txt", ROOT / "requirements.txt")
    ]
    pages, ours = versions
    common = pages.keys() & ours.keys()
    assert common
    assert {name: pages[name] for name in common} == {name: ours[name] for name in common}


def test_checks_are_those_that_exist() -> None:
    """Each id of a system check has a row, and each row is such an id."""
    files = Path(checks.__file__).parent.glob("*.py")
    source = "".join(file.read_text(encoding="utf-8") for file in files)
    assert first_column("Check", "It means") == set(re.findall(r'id="([\w.]+)"', source))


def test_environment_variables_are_those_that_work() -> None:
    """Each variable that the reference project reads has a row, and each row is one."""
    source = Path(project_settings.__file__).read_text(encoding="utf-8")
    read = set(re.findall(r'"((?:APPLE|DATABASE|DJANGO|GOOGLE|REDIS|WALLET)_[A-Z_]+)"', source))
    assert first_column("Variable", "Default", "Meaning") == read


def test_exit_statuses_are_those_of_the_command() -> None:
    """The table has each status that the command's own help names."""
    command = load_command_class("loyalty_wallet", "sync_wallet_passes")
    statuses = set(re.findall(r"(?:: |, )(\d) ", command.help))
    assert first_column("Exit status", "Meaning") == statuses


def test_no_command_is_forgotten() -> None:
    """A new command has to be named, too."""
    commands = {name for name, app in get_commands().items() if app in COMMANDS.values()}
    assert commands == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_command_and_its_options_are_named(name: str) -> None:
    """Whoever reads the page knows what each command can do."""
    page = PAGES["docs/reference/commands.md"]
    assert f"## {name}\n" in page
    missing = {option for option in command_options(name) if f"`{option}" not in page}
    assert not missing


def test_no_option_is_named_that_does_not_exist() -> None:
    """An option that was renamed does not live on in the page."""
    known = FOREIGN_OPTIONS.union(DJANGOS_OPTIONS, *(command_options(name) for name in COMMANDS))
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", EVERYTHING)) <= known


def test_architecture_names_each_part() -> None:
    """A newcomer finds every module and folder of the package's top in the table of layers."""
    package = ROOT / "loyalty_wallet"
    parts = {
        path.name for path in package.glob("*.py") if path.name not in {"__init__.py", "apps.py"}
    }
    parts |= {f"{path.parent.name}/" for path in package.glob("*/__init__.py")} - {"migrations/"}
    named = first_column("Layer, top to bottom", "What it does")
    assert named == {f"loyalty_wallet/{part}" for part in parts}


def test_architecture_names_each_part_of_the_engine() -> None:
    """And every folder of the engine in the table after it."""
    folders = {path.parent.name for path in (ROOT / "loyalty_wallet/sync").glob("*/__init__.py")}
    named = first_column("Part of the engine", "What it does")
    assert named == {f"loyalty_wallet/sync/{folder}/" for folder in folders}


def test_paths_exist() -> None:
    """Each file or folder of the repository that the page names is there."""
    paths = set(re.findall(r"`((?:loyalty_wallet|project|tests|docs|\.ci)/[\w./-]*)`", EVERYTHING))
    assert paths
    assert {path for path in paths if not (ROOT / path).exists()} == set()


@pytest.mark.parametrize("code", blocks("python"))
def test_python_compiles_and_imports_what_exists(code: str) -> None:
    """Examples are Python, and what they import from us is there."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("loyalty_wallet"):
            module = importlib.import_module(node.module or "")
            assert [name.name for name in node.names if not hasattr(module, name.name)] == []


def test_fields_of_the_report_are_those_that_exist() -> None:
    """Each field of the report has a place in the table."""
    assert first_column("Field", "Meaning") == set(report_schema()["properties"])


def test_example_of_the_report_keeps_the_schema() -> None:
    """What the page shows as a report could be one."""
    [example] = blocks("json")
    jsonschema.validate(json.loads(example), report_schema())
